// No plaintext of a tenant on any disk (docs/architecture.md, invariant 12): neither names nor
// content, in journal, stripes, checkpoints, labels, key store, or the folder of RocksDB.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "index/rocks_kv.hpp"
#include "unit/env/temporary_folder.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;

namespace {

constexpr std::string_view kVolume = "Payroll-of-Tenant-Seven";
constexpr std::string_view kLater = "Ledger-made-after-the-mark";
constexpr std::string_view kSnapshot = "Before-the-Great-Upgrade";
constexpr std::string_view kContent = "account 4711 owes 1000 to 4712; ";

ByteVector secret_content(std::size_t blocks) {
  ByteVector content;
  while (content.size() < blocks * kBlockBytes)
    for (const char c : kContent) content.push_back(static_cast<std::byte>(c));
  return content;
}

// What of it all stands in `bytes`.
std::vector<std::string> secrets_in(Bytes bytes) {
  std::vector<std::string> found;
  for (const auto secret : {kVolume, kLater, kSnapshot, kContent})
    if (as_text(bytes).find(secret) != std::string_view::npos) found.emplace_back(secret);
  return found;
}

std::vector<std::string> secrets_of(EngineRig& rig) {
  std::vector<std::string> found;
  const auto look = [&](Bytes bytes) {
    for (auto& secret : secrets_in(bytes)) found.push_back(std::move(secret));
  };
  for (const auto& path : rig.options.pool.paths)
    look(rig.process.disks().at(path).peek(0, EngineRig::kDiskBytes));
  for (const auto& name : must(rig.process.files().list(EngineRig::kKeys)))
    look(must(rig.process.files().read(std::string(EngineRig::kKeys) + "/" + name, 1u << 20)));
  return found;
}

std::vector<std::string> secrets_of(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (auto& secret : secrets_in(as_bytes(bytes)))
      found.push_back(entry.path().filename().string() + ": " + secret);
  }
  return found;
}

}  // namespace

TEST_CASE("names and content stand in the clear on no disk and in no file") {
  TemporaryFolder folder;
  const auto index_folder = folder.path("index");
  index::RocksKvFactory files(index_folder);
  EngineRig rig(&files);
  rig.start();
  const auto volume = rig.create(std::string(kVolume)).id;
  must(rig.run(rig.write(volume, 0, secret_content(4))));           // through the journal
  must(rig.run(rig.write(volume, 1u << 20, secret_content(128))));  // a stripe of its own
  const auto snapshot =
      must(rig.run(rig.engine->create_snapshot({std::string(kVolume)}, std::string(kSnapshot))));
  CHECK(snapshot.name == kSnapshot);
  CHECK(snapshot.volumes == std::vector{std::string(kVolume)});
  rig.create(std::string(kLater));
  must(rig.run(rig.engine->delete_volume(std::string(kLater))));
  must(rig.run(rig.engine->checkpoint()));
  must(rig.run(rig.write(volume, 0, secret_content(1))));
  CHECK(secrets_of(rig).empty());
  CHECK(secrets_of(index_folder).empty());

  // The same after a start, which has written it all once more; and it is there, for who has the
  // keys.
  rig.restart();
  CHECK(must(rig.run(rig.engine->find_volume(std::string(kVolume)))).id == volume);
  const auto held = must(rig.run(rig.engine->list_snapshots()));
  REQUIRE(held.size() == 1);
  CHECK(held[0].name == kSnapshot);
  CHECK(held[0].volumes == std::vector{std::string(kVolume)});
  CHECK(rig.read(volume, 1u << 20, 64u << 10, held[0].id) == secret_content(16));
  rig.stop();
  CHECK(secrets_of(rig).empty());
  CHECK(secrets_of(index_folder).empty());

  // The scan finds what is there.
  rig.process.disks().at("/dev/disk2").poke(8u << 20, secret_content(1));
  CHECK_FALSE(secrets_of(rig).empty());
  std::ofstream(index_folder + "/stray") << "volume " << kVolume;
  CHECK_FALSE(secrets_of(index_folder).empty());
}

TEST_CASE("a volume whose key is gone is listed without its name, and cannot be asked for by it") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create(std::string(kVolume)).id;
  rig.create("other");
  must(rig.run(rig.engine->create_snapshot({std::string(kVolume)}, std::string(kSnapshot))));
  rig.stop();
  // As after a start with a key store that never had the keys: every tenant's are lost.
  must(rig.process.files().remove_tree(EngineRig::kKeys));
  must(codec::KeyStore::create(rig.process.files(), rig.process.random(), EngineRig::kKeys));
  rig.start();
  const auto volumes = must(rig.run(rig.engine->list_volumes(false)));
  REQUIRE(volumes.size() == 2);
  for (const auto& each : volumes) CHECK(each.name == "?" + std::to_string(each.id.value));
  CHECK(rig.run(rig.engine->find_volume("?" + std::to_string(volume.value))).code() ==
        Code::kNotFound);
  const auto held = must(rig.run(rig.engine->list_snapshots()));
  REQUIRE(held.size() == 1);
  CHECK(held[0].name == "?");
  // Nothing is invented: reading says that the key is missing.
  CHECK(rig.run(rig.write(volume, 0, blocks_of(1))).code() == Code::kNotFound);
}
