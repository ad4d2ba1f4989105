#include "format/store_records.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::format;

namespace {

VolumeRecord sample() {
  VolumeRecord record;
  record.name = "db";
  record.tenant = TenantId(7);
  record.key = KeyId(0x1122334455667788);
  record.size_bytes = 1u << 30;
  record.extent_bytes = 65536;
  return record;
}

}  // namespace

TEST_CASE("a group's own records read back as they were written") {
  const GroupRecord group{Incarnation(5), 9};
  CHECK(*decode_group_record(encode(group)) == group);
  SealRecord seal;
  seal.seal.fill(std::byte{3});
  CHECK(*decode_seal_record(encode(seal)) == seal);
  const SessionRecord session{1234};
  CHECK(*decode_session_record(encode(session)) == session);
  const SnapshotRecord snapshot{"before", {"a", "b"}};
  CHECK(*decode_snapshot_record(encode(snapshot)) == snapshot);
  CHECK(*decode_volume_record(encode(sample())) == sample());
  const CheckpointHeader header{{3, 4}, {LanePosition(4096), {}}};
  CHECK(*decode_checkpoint_header(encode(header)) == header);
}

TEST_CASE("a record that is cut short or has bytes left over is corrupt") {
  auto bytes = encode(sample());
  for (std::size_t size = 1; size < bytes.size(); ++size)
    CHECK(decode_volume_record(Bytes(bytes).first(size)).code() == Code::kCorrupt);
  bytes.push_back(std::byte{0});
  CHECK(decode_volume_record(bytes).code() == Code::kCorrupt);
}

TEST_CASE("a record of a newer version is refused, not guessed at") {
  auto bytes = encode(sample());
  bytes[0] = std::byte{2};
  CHECK(decode_volume_record(bytes).code() == Code::kUnsupported);
}

TEST_CASE("a volume record with an extent size that no volume can have is corrupt") {
  for (const std::uint32_t extent : {0u, 512u, 5000u, 2u << 20}) {
    auto record = sample();
    record.extent_bytes = extent;
    CHECK(decode_volume_record(encode(record)).code() == Code::kCorrupt);
  }
}

TEST_CASE("record keys sort by number and give the number back") {
  CHECK(volume_key(VolumeId(9)) < volume_key(VolumeId(16)));
  CHECK(*key_number(volume_key(VolumeId(0xABCDEF)), kVolumePrefix) == 0xABCDEF);
  CHECK(seal_key(255) == "seal/000000ff");
  CHECK(key_number("vol/xyz", kVolumePrefix).code() == Code::kCorrupt);
  CHECK(key_number("snap/1", kVolumePrefix).code() == Code::kCorrupt);
}

TEST_CASE("the bytes of a volume record are as documented") {
  ByteVector expected;
  Writer out(expected);
  out.put(std::uint8_t{1});
  out.put(std::uint32_t{2});
  out.put_raw(as_bytes("db"));
  out.put(std::uint64_t{7});
  out.put(std::uint64_t{0x1122334455667788});
  out.put(std::uint64_t{1u << 30});
  out.put(std::uint32_t{65536});
  out.put(std::uint8_t{0});
  out.put(std::int64_t{0});
  CHECK(encode(sample()) == expected);
}
