// Durable bytes as they must stay: what an older Square wrote, this one reads, and the other way
// round. docs/formats/ explains them byte by byte.

#include <catch2/catch.hpp>

#include "codec/key_file.hpp"
#include "support/golden.hpp"
#include "unit/codec/sealing.hpp"
#include "unit/format/record_samples.hpp"

using namespace square;
using namespace square::test;

namespace {

void check_golden(const std::string& name, Bytes current) {
  INFO("golden file " << golden_path(name));
  CHECK(hex_lines(current) == golden_hex(name, current));
}

codec::SealedExtent golden_extent() {
  ByteVector content(4096);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i % 251);
  codec::Sealer sealer(seal_of(9), 4);
  return seal_sample(sealer, content, 14);
}

codec::KeyFile golden_key_file() {
  SeededRandom random(1);
  codec::KeyFile file;
  const auto root = key_of(1), tenant = key_of(2), data = key_of(3), remote = key_of(4);
  const auto name = codec::data_key_name(KeyId(42), TenantId(6));
  file.tenants[TenantId(6)] =
      codec::wrap_key(root, tenant, codec::tenant_key_name(TenantId(6)), random);
  file.keys[KeyId(42)] = {TenantId(6), codec::wrap_key(tenant, data, name, random),
                          *codec::wrap_for_remote(codec::public_key(remote), data, name, random)};
  file.keys[KeyId(43)] = {
      TenantId(6),
      codec::wrap_key(tenant, data, codec::data_key_name(KeyId(43), TenantId(6)), random),
      {}};
  return file;
}

}  // namespace

TEST_CASE("golden: a stored extent") {
  const auto sealed = golden_extent();
  check_golden("extent", sealed.stored.bytes());
  const auto stored = golden_bytes("extent");
  CHECK(codec::verify_stored(stored, sealed.ref).ok());
  ByteVector out(4096);
  REQUIRE(codec::Opener()
              .open(key_of(7), kSampleKey, seal_of(9), stored, identity_of(4096), 0, out)
              .ok());
  CHECK(out[250] == std::byte{250});
  CHECK(out[251] == std::byte{0});
}

TEST_CASE("golden: every kind of record") {
  for (const auto& [name, record] : sample_records()) {
    check_golden(name, joined(format::encode_record(record)).bytes());
    const auto stored = Buffer::copy_of(golden_bytes(name));
    const auto decoded = format::decode_record(stored);
    INFO(name);
    REQUIRE(decoded.ok());
    CHECK(decoded->index() == record.index());
  }
}

TEST_CASE("golden: a stripe's descriptor") {
  ByteVector bytes;
  Writer out(bytes);
  put(out, sample_stripe());
  check_golden("stripe", bytes);
  const auto stored = golden_bytes("stripe");
  Reader in(stored);
  format::StripeDescriptor stripe;
  get(in, stripe);
  CHECK(in.finished());
  CHECK(stripe == sample_stripe());
}

TEST_CASE("golden: the key store's files") {
  const auto file = golden_key_file();
  check_golden("key_store", codec::encode_key_file(file));
  const auto decoded = codec::decode_key_file(golden_bytes("key_store"));
  REQUIRE(decoded.ok());
  CHECK(*decoded == file);
  const auto root = key_of(1);
  check_golden("root_key", codec::encode_single_key(codec::SingleKey::kRoot, root.bytes()));
  const auto tenant = codec::unwrap_key(root, decoded->tenants.at(TenantId(6)),
                                        codec::tenant_key_name(TenantId(6)));
  REQUIRE(tenant.ok());
  CHECK(codec::unwrap_key(*tenant, decoded->keys.at(KeyId(42)).wrap,
                          codec::data_key_name(KeyId(42), TenantId(6)))
            .ok());
}

TEST_CASE("golden: logical content hashes to the same chain on every node and version") {
  ByteVector chains;
  for (const auto& [name, type] : operation_types()) {
    const auto chain = format::chain_hash(hash_of(0x11), sample_operation(type));
    chains.insert(chains.end(), chain.begin(), chain.end());
  }
  check_golden("chain_hashes", chains);
}
