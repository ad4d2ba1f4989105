#pragma once
// Keys and values of the index's families; docs/formats/index.md.
//
// Keys are big-endian, so their order is the order of what they name. A mapped range is keyed by
// its *end*: the first key above an address is the first range that ends above it, so one forward
// seek finds everything that overlaps a range.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/types.hpp"

namespace square::format {

inline constexpr std::uint32_t kIndexVersion = 1;

// The unit of the written-map, and one page of it: 512 units are 32 MiB of a volume.
inline constexpr std::uint64_t kWrittenUnitBytes = 64u << 10;
inline constexpr std::size_t kWrittenPageBits = 512;
using WrittenPage = std::array<std::uint64_t, kWrittenPageBits / 64>;

// Where a mapped range ends: the last part of its key in present and history.
struct RangeKey {
  VolumeId volume;
  std::uint64_t end = 0;
  auto operator<=>(const RangeKey&) const = default;
};

std::string present_prefix(GroupId group);                     // all volumes of a group
std::string history_prefix(GroupId group, Sequence snapshot);  // all volumes of one history
std::string volume_prefix(std::string_view table, VolumeId volume);
std::string range_key(std::string_view table, RangeKey key);
// The last 16 bytes of a key of present or history. Errors: kCorrupt.
Result<RangeKey> parse_range_key(Bytes key, std::size_t table_size);

std::string record_key(GroupId group, std::string_view key);
std::string record_history_key(GroupId group, Sequence snapshot, std::string_view key);
inline constexpr std::size_t kRecordPrefixBytes = 4;
inline constexpr std::size_t kRecordHistoryPrefixBytes = 12;

std::string stripe_prefix(SegmentId segment);
std::string stripe_key(SegmentId segment, Generation generation, std::uint32_t stripe_block);
std::string segment_key(SegmentId segment, Generation generation);
// Errors: kCorrupt.
Result<std::pair<SegmentId, Generation>> parse_segment_key(Bytes key);

// Family kMeta: a letter, then the numbers, big-endian.
struct MetaKey {
  enum class Kind : std::uint8_t {
    kVersion = 'v',   // -> u32
    kApplied = 'a',   // group -> sequence, chain
    kLane = 'l',      // lane -> LanePoint
    kSnapshot = 's',  // group, sequence -> SnapshotRow
    kWritten = 'w',   // group, volume, page -> WrittenPage
    kSession = 'e',   // group, session -> SessionRow
    kPurge = 'p',     // group, volume -> nothing: a purge that was logged and is not finished
    // group, snapshot, session -> SessionRow as of it; session 0, empty, says that the table is
    // here
    kSessionAt = 't',
    kRewritten = 'r',   // group, volume, leaf of 1 MiB -> sequence of the last rewrite in it
    kLanding = 'd',     // group -> LandingRow, while a diff is applied
    kCheckpoint = 'c',  // -> CheckpointId of the last one that was begun
  };
  Kind kind = Kind::kVersion;
  GroupId group;             // the lane's number for kLane
  std::uint64_t first = 0;   // sequence, volume, session
  std::uint64_t second = 0;  // page, session, leaf
  bool operator==(const MetaKey&) const = default;
};
std::string encode(const MetaKey& key);
// Of all keys that differ in `second` alone.
std::string meta_prefix(const MetaKey& key);
Result<MetaKey> decode_meta_key(Bytes key);

// ---- values

// One mapped range; where it ends stands in the key. At most 85 bytes.
struct RangeValue {
  std::uint64_t length = 0;  // multiple of 4 KiB, not 0
  Mapping mapping;
  bool operator==(const RangeValue&) const = default;
};
ByteVector encode(const RangeValue& value);
Result<RangeValue> decode_range_value(Bytes bytes);

ByteVector encode(const StripeDescriptor& stripe);
Result<StripeDescriptor> decode_stripe(Bytes bytes);

struct SegmentRow {
  std::uint64_t live_bytes = 0, total_bytes = 0;
  bool operator==(const SegmentRow&) const = default;
};
ByteVector encode(const SegmentRow& row);
Result<SegmentRow> decode_segment_row(Bytes bytes);

struct AppliedRow {
  Sequence sequence;
  Hash128 chain{};
  bool operator==(const AppliedRow&) const = default;
};
ByteVector encode(const AppliedRow& row);
Result<AppliedRow> decode_applied_row(Bytes bytes);

struct SnapshotRow {
  SnapshotId id;
  std::int64_t wall_ns = 0;
  bool hidden = false;
  std::optional<Sequence> rewrites;  // of one that came as a diff: it has those up to here
  bool operator==(const SnapshotRow&) const = default;
};
ByteVector encode(const SnapshotRow& row);
Result<SnapshotRow> decode_snapshot_row(Bytes bytes);

// Which of the last 1024 requests of a session are done: bit n % 1024 of `done`.
struct SessionRow {
  RequestNumber highest;
  std::array<std::uint64_t, 16> done{};
  void add(RequestNumber number);
  bool contains(RequestNumber number) const;
  // So far below `highest` that nobody can say any more.
  bool forgotten(RequestNumber number) const { return number.value + 1024 <= highest.value; }
  bool operator==(const SessionRow&) const = default;
};
ByteVector encode(const SessionRow& row);
Result<SessionRow> decode_session_row(Bytes bytes);

ByteVector encode(const LanePoint& point);
Result<LanePoint> decode_lane_point(Bytes bytes);

ByteVector encode(const CheckpointId& id);
Result<CheckpointId> decode_checkpoint_id(Bytes bytes);

// The present is on its way from one snapshot to another, and is neither.
struct LandingRow {
  enum class Phase : std::uint8_t {
    kClearing = 0,   // there is no common base: what is mapped becomes holes
    kItems = 1,      // ranges and records of the target are set
    kReverting = 2,  // back to the base, or to nothing; the target is void
  };
  Phase phase = Phase::kItems;
  std::optional<DiffBase> base;
  SnapshotId target;
  DiffCursor cursor;
  Sequence came_with;  // as in DiffHeader
  bool operator==(const LandingRow&) const = default;
};
ByteVector encode(const LandingRow& row);
Result<LandingRow> decode_landing_row(Bytes bytes);

ByteVector encode(const WrittenPage& page);
Result<WrittenPage> decode_written_page(Bytes bytes);

ByteVector encode_rewritten(Sequence last);
Result<Sequence> decode_rewritten(Bytes bytes);

// What a record was at a snapshot; nothing when it did not exist.
ByteVector encode_record_history(const std::optional<ByteVector>& value);
Result<std::optional<ByteVector>> decode_record_history(Bytes bytes);

}  // namespace square::format
