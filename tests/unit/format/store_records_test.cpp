#include "format/store_records.hpp"

#include <catch2/catch.hpp>

#include "support/golden.hpp"
#include "unit/codec/sealing.hpp"

using namespace square;
using namespace square::format;
using namespace square::test;

namespace {

codec::SealedField name_in(std::string_view record, std::string_view text) {
  SeededRandom random(5);
  return codec::seal_field(key_of(7), kSampleKey, {0xce11, GroupId(1), record}, text, random);
}

VolumeRecord sample() {
  VolumeRecord record;
  record.name = name_in(volume_key(VolumeId(5)), "db");
  record.tenant = TenantId(7);
  record.key = kSampleKey;
  record.size_bytes = 1u << 30;
  record.extent_bytes = 65536;
  return record;
}

}  // namespace

TEST_CASE("a group's own records read back as they were written") {
  const GroupRecord group{Incarnation(5), 9, 1234567, 3};
  CHECK(*decode_group_record(encode(group)) == group);
  SealRecord seal;
  seal.seal.fill(std::byte{3});
  CHECK(*decode_seal_record(encode(seal)) == seal);
  const SessionRecord session{1234};
  CHECK(*decode_session_record(encode(session)) == session);
  const SnapshotRecord snapshot{name_in(snapshot_key(Sequence(9)), "before"),
                                {VolumeId(5), VolumeId(6)}};
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

TEST_CASE("golden: the records of a volume and of a snapshot") {
  const auto check = [](const std::string& name, Bytes current) {
    CHECK(hex_lines(current) == golden_hex(name, current));
  };
  check("store_record_volume", encode(sample()));
  const auto volume = decode_volume_record(golden_bytes("store_record_volume"));
  REQUIRE(volume.ok());
  const auto key = volume_key(VolumeId(5));
  CHECK(*codec::open_field(key_of(7), {0xce11, GroupId(1), key}, volume->name) == "db");
  CHECK(volume->size_bytes == 1u << 30);

  const auto mark = snapshot_key(Sequence(9));
  const SnapshotRecord snapshot{name_in(mark, "before"), {VolumeId(5), VolumeId(6)}};
  check("store_record_snapshot", encode(snapshot));
  const auto held = decode_snapshot_record(golden_bytes("store_record_snapshot"));
  REQUIRE(held.ok());
  CHECK(*codec::open_field(key_of(7), {0xce11, GroupId(1), mark}, held->name) == "before");
  CHECK(held->volumes == std::vector{VolumeId(5), VolumeId(6)});
}
