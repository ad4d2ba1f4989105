#include "codec/key_store.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "codec/key_file.hpp"
#include "unit/codec/sealing.hpp"

using namespace square;
using namespace square::codec;
using namespace square::test;

namespace {

// Files in memory. From the write that `writes_left` counts down to, nothing becomes durable; with
// `lands` that one write does, and only its answer is lost.
class MemoryFiles : public env::Files {
 public:
  Result<ByteVector> read(const std::string& path, std::size_t) override {
    if (!files.contains(path)) return Error{Code::kNotFound, "no such file"};
    return files[path];
  }
  Result<> write_atomic(const std::string& path, Bytes bytes) override {
    const auto fails = writes_left == 0;
    if (!fails) --writes_left;
    if (!fails || lands) files[path] = ByteVector(bytes.begin(), bytes.end());
    if (fails) return Error{Code::kIo, "crashed"};
    return {};
  }
  Result<> make_folder(const std::string&) override { return {}; }
  Result<> remove_tree(const std::string&) override { return {}; }
  bool exists(const std::string& path) override { return files.contains(path); }
  Result<std::vector<std::string>> list(const std::string&) override {
    return std::vector<std::string>{};
  }

  std::map<std::string, ByteVector> files;
  std::size_t writes_left = SIZE_MAX;
  bool lands = false;
};

struct Site {
  MemoryFiles files;
  SeededRandom random{1};
  Site() { REQUIRE(KeyStore::create(files, random, "k").ok()); }
  std::unique_ptr<KeyStore> open() {
    auto store = KeyStore::open(files, random, "k");
    REQUIRE(store.ok());
    return std::move(store).value();
  }
};

ByteVector bytes_of(const SecretKey& key) { return {key.bytes().begin(), key.bytes().end()}; }

bool contains(const ByteVector& haystack, Bytes needle) {
  return !std::ranges::search(haystack, needle).empty();
}

}  // namespace

TEST_CASE("a data key is the same after the store was closed and opened") {
  Site site;
  auto store = site.open();
  const auto a = *store->create_data_key(TenantId(1));
  const auto b = *store->create_data_key(TenantId(1));
  const auto c = *store->create_data_key(TenantId(2));
  CHECK(a != b);
  const auto key_a = bytes_of(**store->data_key(a)), key_c = bytes_of(**store->data_key(c));
  CHECK(key_a != bytes_of(**store->data_key(b)));
  store = site.open();
  CHECK(bytes_of(**store->data_key(a)) == key_a);
  CHECK(bytes_of(**store->data_key(c)) == key_c);
  CHECK(store->data_key(KeyId(1)).code() == Code::kNotFound);
}

TEST_CASE("no key stands in the store's file in the clear") {
  Site site;
  auto store = site.open();
  const auto id = *store->create_data_key(TenantId(1));
  CHECK_FALSE(contains(site.files.files["k/keys"], (*store->data_key(id))->bytes()));
  const auto root = *decode_single_key(SingleKey::kRoot, site.files.files["k/root.key"]);
  CHECK_FALSE(contains(site.files.files["k/keys"], root));
}

TEST_CASE("a destroyed tenant's keys are gone, and no other's") {
  Site site;
  auto store = site.open();
  const auto a = *store->create_data_key(TenantId(1));
  const auto b = *store->create_data_key(TenantId(2));
  REQUIRE(store->destroy_tenant(TenantId(1)).ok());
  CHECK(store->data_key(a).code() == Code::kNotFound);
  CHECK(store->data_key(b).ok());
  CHECK(store->destroy_tenant(TenantId(1)).code() == Code::kNotFound);
  store = site.open();
  CHECK(store->data_key(a).code() == Code::kNotFound);
  CHECK(store->data_key(b).ok());
  // A tenant of the same number that comes later gets keys of its own.
  const auto again = *store->create_data_key(TenantId(1));
  CHECK(again != a);
  CHECK(store->data_key(a).code() == Code::kNotFound);
}

TEST_CASE("a missing root key is not found, and the message names its file") {
  Site site;
  site.files.files.erase("k/root.key");
  const auto store = KeyStore::open(site.files, site.random, "k");
  REQUIRE_FALSE(store.ok());
  CHECK(store.code() == Code::kNotFound);
  CHECK(store.error().message.find("k/root.key") != std::string::npos);
}

TEST_CASE("the root key of another store is denied") {
  Site site, other;
  REQUIRE(site.open()->create_data_key(TenantId(1)).ok());
  const auto stranger = key_of(3);
  site.files.files["k/root.key"] = encode_single_key(SingleKey::kRoot, stranger.bytes());
  const auto store = KeyStore::open(site.files, site.random, "k");
  REQUIRE_FALSE(store.ok());
  CHECK(store.code() == Code::kDenied);
  CHECK(store.error().message.find("k/root.key") != std::string::npos);
}

TEST_CASE("a store that exists is not made again") {
  Site site;
  CHECK(KeyStore::create(site.files, site.random, "k").code() == Code::kExists);
  REQUIRE(site.open()->create_data_key(TenantId(1)).ok());
  // Not even when its root key is missing: that may come back.
  site.files.files.erase("k/root.key");
  const auto before = site.files.files;
  CHECK(KeyStore::create(site.files, site.random, "k").code() == Code::kExists);
  CHECK(site.files.files == before);
}

TEST_CASE("a crash at any write of the creation leaves something that can be finished") {
  for (std::size_t writes = 0; writes < 2; ++writes) {
    for (const bool lands : {false, true}) {
      INFO(writes << " writes, the next " << (lands ? "lands" : "is lost"));
      MemoryFiles files;
      SeededRandom random(1);
      files.writes_left = writes;
      files.lands = lands;
      CHECK(KeyStore::create(files, random, "k").code() == Code::kIo);
      files.writes_left = SIZE_MAX;
      auto store = KeyStore::open(files, random, "k");
      if (!store.ok()) {
        CHECK(store.code() == Code::kNotFound);
        REQUIRE(KeyStore::create(files, random, "k").ok());
        store = KeyStore::open(files, random, "k");
      }
      REQUIRE(store.ok());
      CHECK((*store)->create_data_key(TenantId(1)).ok());
    }
  }
}

TEST_CASE("a key that could not be written is not given out, and the store goes on") {
  for (const bool lands : {false, true}) {
    Site site;
    auto store = site.open();
    const auto kept = *store->create_data_key(TenantId(1));
    const auto key = bytes_of(**store->data_key(kept));
    site.files.lands = lands;
    site.files.writes_left = 0;
    CHECK(store->create_data_key(TenantId(1)).code() == Code::kIo);
    CHECK(store->create_data_key(TenantId(2)).code() == Code::kIo);
    CHECK(store->destroy_tenant(TenantId(1)).code() == Code::kIo);
    CHECK(store->data_key(kept).ok());
    site.files.writes_left = SIZE_MAX;
    const auto next = store->create_data_key(TenantId(2));
    REQUIRE(next.ok());
    store = site.open();
    CHECK(bytes_of(**store->data_key(kept)) == key);
    CHECK(store->data_key(*next).ok());
  }
}

TEST_CASE("a damaged file is named, and is never taken for another") {
  Site site;
  REQUIRE(site.open()->create_data_key(TenantId(1)).ok());
  for (const std::string path : {"k/keys", "k/root.key"}) {
    const auto whole = site.files.files[path];
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      site.files.files[path][bit / 8] ^= std::byte{1} << (bit % 8);
      const auto store = KeyStore::open(site.files, site.random, "k");
      REQUIRE_FALSE(store.ok());
      CHECK(store.code() == Code::kCorrupt);
      CHECK(store.error().message.find(path) != std::string::npos);
      site.files.files[path] = whole;
    }
    for (std::size_t size = 0; size < whole.size(); ++size) {
      site.files.files[path].resize(size);
      CHECK(KeyStore::open(site.files, site.random, "k").code() == Code::kCorrupt);
      site.files.files[path] = whole;
    }
  }
  site.files.files["k/keys"] = site.files.files["k/root.key"];
  CHECK(KeyStore::open(site.files, site.random, "k").code() == Code::kCorrupt);
  site.files.files.erase("k/keys");
  CHECK(KeyStore::open(site.files, site.random, "k").code() == Code::kNotFound);
}

TEST_CASE("a wrap opens only for its own key, under its own name") {
  SeededRandom random(2);
  const auto wrapping = key_of(1), key = key_of(2);
  const auto name = data_key_name(KeyId(5), TenantId(6));
  const auto wrap = wrap_key(wrapping, key, name, random);
  CHECK(bytes_of(*unwrap_key(wrapping, wrap, name)) == bytes_of(key));
  CHECK(unwrap_key(wrapping, wrap, data_key_name(KeyId(6), TenantId(6))).code() == Code::kDenied);
  CHECK(unwrap_key(wrapping, wrap, data_key_name(KeyId(5), TenantId(7))).code() == Code::kDenied);
  CHECK(unwrap_key(key, wrap, name).code() == Code::kDenied);
}

TEST_CASE("the remote site opens every data key made since its public key is known") {
  Site site;
  const auto before = *site.open()->create_data_key(TenantId(1));
  const auto remote = SecretKey::generate(site.random);
  site.files.files["k/remote.pub"] =
      encode_single_key(SingleKey::kRemotePublic, public_key(remote));
  auto store = site.open();
  const auto id = *store->create_data_key(TenantId(1));
  const auto file = *decode_key_file(site.files.files["k/keys"]);
  CHECK_FALSE(file.keys.at(before).remote.has_value());
  REQUIRE(file.keys.at(id).remote.has_value());
  const auto& wrap = *file.keys.at(id).remote;
  const auto name = data_key_name(id, TenantId(1));
  const auto opened = unwrap_at_remote(remote, wrap, name);
  REQUIRE(opened.ok());
  CHECK(bytes_of(*opened) == bytes_of(**store->data_key(id)));
  CHECK(unwrap_at_remote(key_of(1), wrap, name).code() == Code::kDenied);
  CHECK(unwrap_at_remote(remote, wrap, data_key_name(id, TenantId(2))).code() == Code::kDenied);
  // Production's root key is no remote public key, and a key of zeros is none at all.
  site.files.files["k/remote.pub"] = site.files.files["k/root.key"];
  CHECK(KeyStore::open(site.files, site.random, "k").code() == Code::kCorrupt);
  site.files.files["k/remote.pub"] = encode_single_key(SingleKey::kRemotePublic, PublicKey{});
  CHECK(site.open()->create_data_key(TenantId(1)).code() == Code::kInvalid);
}
