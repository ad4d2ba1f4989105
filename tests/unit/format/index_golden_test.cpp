// The bytes of the index's keys and values, as every version has to read them;
// docs/formats/index.md.
#include <catch2/catch.hpp>
#include <fstream>

#include "format/index_keys.hpp"
#include "support/golden.hpp"

using namespace square;
using namespace square::format;

namespace {

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

// Lines of "name hex".
std::string golden(const std::string& name) {
  std::ifstream in(test::golden_path("index_values"));
  for (std::string found, value; in >> found >> value;)
    if (found == name) return value;
  return "no line " + name;
}

ExtentRef extent() {
  ExtentRef extent;
  extent.id = {3, Sequence(1000), 2};
  extent.plain_bytes = 65536;
  extent.stored_bytes = 65700;
  extent.checksum = 0x0102030405060708;
  for (std::size_t i = 0; i < 16; ++i) extent.digest[i] = static_cast<std::byte>(0xa0 + i);
  extent.place = {SegmentId(17), {3, 9}, 256, 32, 131400};
  return extent;
}

StripeDescriptor stripe() {
  StripeDescriptor stripe;
  stripe.segment = SegmentId(17);
  stripe.generation = {3, 9};
  stripe.stripe_block = 256;
  stripe.strip_blocks = 32;
  stripe.k = 2;
  stripe.m = 1;
  stripe.slots = {Slot(4), Slot(0), Slot(1)};
  stripe.checksums = {1, 2, 0xff00000000000000};
  stripe.extents = {{GroupId(1), VolumeId(5), 1 << 20, 65536, 65700, {3, Sequence(1000), 0}, 0},
                    {GroupId(1), VolumeId(5), 0, 4096, 4196, {3, Sequence(999), 1}, 65700}};
  return stripe;
}

SnapshotRow snapshot() {
  SnapshotRow row{{Incarnation(7), {3, 8}, Sequence(1000), {}}, 1700000000000000000, true, {}};
  row.id.chain[15] = std::byte{1};
  return row;
}

void check(const std::string& name, Bytes bytes) {
  CAPTURE(name);
  CHECK(hex(bytes) == golden(name));
}

}  // namespace

TEST_CASE("the index's keys and values are the golden bytes") {
  Mapping mapping;
  mapping.hole = false;
  mapping.extent = extent();
  mapping.extent_offset = 8192;
  const RangeValue range{12288, mapping};
  check("range_extent", encode(range));
  CHECK(*decode_range_value(encode(range)) == range);
  Mapping hole;
  hole.hole_sequence = Sequence(300);
  const RangeValue gap{1ull << 40, hole};
  check("range_hole", encode(gap));
  CHECK(*decode_range_value(encode(gap)) == gap);
  check("stripe", encode(stripe()));
  CHECK(*decode_stripe(encode(stripe())) == stripe());
  check("snapshot", encode(snapshot()));
  CHECK(*decode_snapshot_row(encode(snapshot())) == snapshot());
  auto came = snapshot();
  came.rewrites = Sequence(1200);
  check("snapshot_of_diff", encode(came));
  CHECK(*decode_snapshot_row(encode(came)) == came);
  check("checkpoint", encode(CheckpointId{3, 40}));
  CHECK(*decode_checkpoint_id(encode(CheckpointId{3, 40})) == CheckpointId{3, 40});
  LandingRow landing;
  landing.base = DiffBase{snapshot().id, Sequence(1200)};
  landing.target = snapshot().id;
  landing.target.sequence = Sequence(2000);
  landing.cursor = {VolumeId(5), 12288};
  landing.came_with = kCameWithSeveral;
  check("landing", encode(landing));
  CHECK(*decode_landing_row(encode(landing)) == landing);
  landing = {LandingRow::Phase::kClearing, {}, snapshot().id, {}, {}};
  check("landing_clearing", encode(landing));
  CHECK(*decode_landing_row(encode(landing)) == landing);
  check("segment", encode(SegmentRow{1000000, 2000000}));
  check("applied", encode(AppliedRow{Sequence(1000), {}}));
  check("present_key", as_bytes(range_key(present_prefix(GroupId(1)), {VolumeId(5), 12288})));
  check("history_key",
        as_bytes(range_key(history_prefix(GroupId(1), Sequence(1000)), {VolumeId(5), 12288})));
  check("stripe_key", as_bytes(stripe_key(SegmentId(17), {3, 9}, 256)));
  check("record_history_key", as_bytes(record_history_key(GroupId(1), Sequence(1000), "name/a")));
  check("written_key", as_bytes(encode(MetaKey{MetaKey::Kind::kWritten, GroupId(1), 5, 2})));
  check("session_at_key",
        as_bytes(encode(MetaKey{MetaKey::Kind::kSessionAt, GroupId(1), 1000, 9})));
  check("rewritten_key", as_bytes(encode(MetaKey{MetaKey::Kind::kRewritten, GroupId(1), 5, 2})));
  check("rewritten", encode_rewritten(Sequence(1000)));
  CHECK(*decode_rewritten(encode_rewritten(Sequence(1000))) == Sequence(1000));
  check("landing_key", as_bytes(encode(MetaKey{MetaKey::Kind::kLanding, GroupId(1), 0, 0})));
  check("checkpoint_key", as_bytes(encode(MetaKey{MetaKey::Kind::kCheckpoint, {}, 0, 0})));
  check("lane_key", as_bytes(encode(MetaKey{MetaKey::Kind::kLane, GroupId(2), 0, 0})));
}

TEST_CASE("an ordinary mapping takes at most 85 bytes, and a largest one still decodes") {
  Mapping mapping;
  mapping.hole = false;
  mapping.extent = extent();
  CHECK(encode(RangeValue{65536, mapping}).size() <= 64);
  mapping.extent.id = {~0u, Sequence(1ull << 48), 255};
  mapping.extent.stored_bytes = 1100000;
  mapping.extent.plain_bytes = kOperationBytesMax;
  mapping.extent.place = {SegmentId(1u << 27), {~0u, ~0u}, ~0u, 65535, ~0u};
  const RangeValue range{kOperationBytesMax, mapping};
  CHECK(encode(range).size() <= 85);
  CHECK(*decode_range_value(encode(range)) == range);
}

TEST_CASE("a value that is cut, longer or of an unknown kind is refused") {
  const auto bytes = encode(stripe());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK(decode_stripe(Bytes(bytes).first(size)).code() == Code::kCorrupt);
  auto longer = bytes;
  longer.push_back({});
  CHECK(decode_stripe(longer).code() == Code::kCorrupt);
  CHECK(decode_range_value(as_bytes("\2\1\1")).code() == Code::kCorrupt);
  CHECK(decode_range_value(as_bytes({"\0\0\1", 3})).code() == Code::kCorrupt);
  CHECK(decode_range_value(as_bytes({"\0\1\x80\0", 4})).code() == Code::kCorrupt);
  CHECK(decode_meta_key(as_bytes("z")).code() == Code::kCorrupt);
  CHECK(decode_meta_key(as_bytes("s123")).code() == Code::kCorrupt);
  CHECK(decode_record_history(as_bytes({"\0x", 2})).code() == Code::kCorrupt);
}

TEST_CASE("an extent of a stripe that spells out the home of the one before it is refused") {
  StripeDescriptor one;
  one.strip_blocks = one.k = one.m = 1;
  one.slots = {Slot(0), Slot(1)};
  one.checksums = {1, 2};
  one.extents = {{}};
  auto bytes = encode(one);
  REQUIRE(decode_stripe(bytes).ok());
  const auto flags = bytes.size() - 7;  // flags and six numbers of one byte each
  REQUIRE(bytes[flags] == std::byte{1});
  bytes[flags] = {};
  bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(flags) + 1, 3, std::byte{});
  CHECK(decode_stripe(bytes).code() == Code::kCorrupt);
}
