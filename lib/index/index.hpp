#pragma once
// What is where: the present, the history of each held snapshot, records, stripes, live bytes.
// It takes committed operations only, in sequence order, and says up to which sequence and chain
// hash of each group, and up to which point of the lane, it has done so: in the same atomic batch.
// Pure logic over a Kv; docs/protocol.md, section 5; docs/formats/index.md.
//
// A change that failed leaves the index unusable: every later call gives the same error. It is then
// thrown away and made anew from checkpoint and journal.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/diff_stream.hpp"
#include "format/index_keys.hpp"
#include "format/record.hpp"
#include "format/state_root.hpp"
#include "index/kv.hpp"

namespace square::index {

struct Applied {
  Sequence sequence;
  format::Hash128 chain{};
  bool operator==(const Applied&) const = default;
};

// A part of a range that was asked for. Pieces of one answer are ascending, touch, and cover it.
struct Piece {
  std::uint64_t offset = 0, length = 0;  // bytes of the volume
  // Absent: never written. A range that was ever written is mapped, if only to a hole: else damage.
  std::optional<format::Mapping> mapping;
  bool operator==(const Piece&) const = default;
};

// A range of a volume that differs between two snapshots, as it is at the later one.
struct Change {
  VolumeId volume;
  Piece piece;
};

struct SnapshotInfo {
  format::SnapshotId id;
  std::int64_t wall_ns = 0;
  bool hidden = false;  // dropped, its history is being merged into its elder
  std::optional<Sequence> rewrites = std::nullopt;  // of one that came as a diff: up to here
};

struct SegmentUse {
  SegmentId segment;
  format::Generation generation;
  // Content bytes that mappings, present and histories, still name in it: 0 exactly when none does.
  std::uint64_t live_bytes = 0;
  std::uint64_t total_bytes = 0;  // stored bytes ever placed in it
};

// Which requests of a session are done, as of the applied sequence.
struct SessionWindow {
  SessionId session;
  format::SessionRow requests;
};

class Index {
 public:
  // Errors: kUnsupported (a newer index format), kCorrupt.
  static Result<std::unique_ptr<Index>> open(std::unique_ptr<Kv> kv);
  ~Index();

  // ---- positions
  Applied applied(GroupId group) const;
  std::vector<GroupId> groups() const;
  format::LanePoint lane_point(std::uint16_t lane) const;
  // The last one that was begun: this holds all that it does, and perhaps more.
  format::CheckpointId checkpoint() const;

  // ---- changes; each call is one atomic batch
  // Operations of one group, continuing exactly at applied().sequence + 1, all placed, with the
  // stripes that they name. `point`, when given, becomes the lane's point in the same batch.
  // An operation that is not the next one breaks an invariant. A hole over what was never written
  // leaves it so. Errors: kIo, kCorrupt.
  Result<> apply(std::span<const format::Operation> operations,
                 std::span<const format::StripeDescriptor> stripes,
                 std::optional<std::pair<std::uint16_t, format::LanePoint>> point);
  // Changes only mappings that still name that extent at that place, in present and histories.
  Result<> apply_move(const format::MoveRecord& move,
                      std::optional<std::pair<std::uint16_t, format::LanePoint>> point);
  // A checkpoint begins: it holds everything so far, the lane up to `point`.
  Result<> set_checkpoint(format::CheckpointId id, std::uint16_t lane, format::LanePoint point);

  // ---- reading. `at`: as of that snapshot; absent: the present.
  // Covers exactly [offset, offset + length). Errors: kDataLoss for a range that was written but is
  // not mapped (its neighbours say so), kNotFound for a snapshot that is not held, kIo, kCorrupt.
  Result<std::vector<Piece>> lookup(GroupId group, VolumeId volume, std::uint64_t offset,
                                    std::uint64_t length,
                                    std::optional<Sequence> at = std::nullopt) const;
  Result<std::optional<ByteVector>> record(GroupId group, std::string_view key,
                                           std::optional<Sequence> at = std::nullopt) const;
  // Keys that begin with `prefix`, ascending.
  Result<std::vector<std::pair<std::string, ByteVector>>> records(
      GroupId group, std::string_view prefix, std::optional<Sequence> at = std::nullopt) const;
  // Held and not hidden, oldest first.
  std::vector<SnapshotInfo> snapshots(GroupId group) const;
  // Every session with a finished request, ascending.
  std::vector<SessionWindow> sessions(GroupId group) const;

  // ---- diff
  // Every range whose mapping changed after `from` (absent: everything mapped) and up to `to`
  // (absent: the present), in (volume, offset) order, from `cursor` on; at most `limit` changes.
  // Go on with the end of the last one; another source may. Costs what changed. Errors: kNotFound
  // for a snapshot that is not held, kInvalid when `to` is not later than `from`, as lookup().
  struct Cursor {
    VolumeId volume;
    std::uint64_t offset = 0;
  };
  Result<std::vector<Change>> diff(GroupId group, std::optional<Sequence> from,
                                   std::optional<Sequence> to, Cursor cursor,
                                   std::size_t limit) const;

  // ---- what a diff carries beside ranges
  // Records that changed after `from` (absent: all that `to` has) and up to `to` (absent: the
  // present), each as it is there, or nothing when it is not; ascending, behind the key `after`, at
  // most `limit`.
  using RecordChange = std::pair<std::string, std::optional<ByteVector>>;
  Result<std::vector<RecordChange>> record_changes(GroupId group, std::optional<Sequence> from,
                                                   std::optional<Sequence> to,
                                                   std::string_view after, std::size_t limit) const;
  // The session table as of that snapshot. Errors: kNotFound also when it was not kept with it.
  Result<std::vector<SessionWindow>> sessions_at(GroupId group, Sequence at) const;
  // Where leaves of 1 MiB begin in which a rewrite later than `since` changed a mapping, of the
  // present or of a snapshot; ascending, from the one that has `cursor` in it on, at most `limit`.
  Result<std::vector<Cursor>> rewritten(GroupId group, Sequence since, Cursor cursor,
                                        std::size_t limit) const;

  // ---- state root
  // Of that snapshot, or of the target of the landing as far as it has come, with what rewrites
  // have done to it since; nothing while more than
  // `leaves_max` leaves are left to compute: ask again. Going to a later snapshot costs what
  // changed since the last one that was asked for; to an earlier one, or after a start, all that is
  // mapped. Errors: kNotFound for a snapshot that is not held, kCorrupt for a volume's record that
  // cannot be read, as lookup().
  Result<std::optional<format::StateHash>> state_root_step(GroupId group, Sequence at,
                                                           std::size_t leaves_max);

  // ---- landing: a diff from another store becomes a snapshot here (docs/decisions/0009). The
  // group's log stands still meanwhile, and its present is no state that ever was: only snapshots
  // may be read. Each call is one atomic batch; what a crash takes back comes again.
  std::optional<format::LandingRow> landing(GroupId group) const;
  // Nothing lands now. With a base: it is the newest snapshot here, and the present is equal to it.
  // The target is later than all snapshots here. Without one, what is mapped here has to become
  // holes first: clear_step() until it says false.
  Result<> begin_landing(GroupId group, const std::optional<format::DiffBase>& base,
                         const format::SnapshotId& target);
  Result<bool> clear_step(GroupId group, std::size_t entries_max);
  // A stream begins there.
  Result<> begin_stream(GroupId group, const format::DiffCursor& cursor, Sequence came_with);
  // Sets the ranges; extents have places, in `stripes` or where earlier ones are mapped. All items
  // in front of `cursor` have come then. Errors: kCorrupt for an item that cannot be.
  Result<> land(GroupId group, std::span<const format::DiffItem> items,
                std::span<const format::StripeDescriptor> stripes,
                const std::optional<format::DiffCursor>& cursor);
  Result<> land_records(GroupId group, std::span<const format::DiffRecord> records);
  // The target is a snapshot here now, and what was applied. What its records do not name is
  // purged.
  Result<> finish_landing(GroupId group, std::span<const format::DiffSession> sessions,
                          std::int64_t wall_ns, Sequence rewrites);
  // Back to that snapshot, which must be held, from whatever the present is: what is newer is
  // dropped. Nothing: to nothing, when no snapshot is held. revert_step() until it says false.
  Result<> begin_revert(GroupId group, const std::optional<format::SnapshotId>& to);
  Result<bool> revert_step(GroupId group, std::size_t entries_max);
  // Drops a snapshot of a group that takes no operations.
  Result<> drop_landed(GroupId group, const format::SnapshotId& id);
  // Where an extent that was written to `offset` lies, when the present or the newest snapshot
  // shows a part of it.
  Result<std::optional<format::Place>> find_extent(GroupId group, VolumeId volume,
                                                   std::uint64_t offset,
                                                   const format::ExtentRef& extent) const;

  // ---- background work, restartable, in bounded steps; true when more is left that can be done
  // now
  Result<bool> merge_step(GroupId group, std::size_t entries_max);
  Result<bool> purge_step(GroupId group, std::size_t entries_max);

  // ---- stripes and segments
  Result<std::optional<format::StripeDescriptor>> find_stripe(SegmentId segment,
                                                              format::Generation generation,
                                                              std::uint32_t stripe_block) const;
  Result<std::vector<format::StripeDescriptor>> stripes_in(SegmentId segment) const;
  Result<std::vector<SegmentUse>> segment_uses() const;
  // Those with stripes and without live bytes, in every use: what might be free. Costs what it
  // returns.
  std::vector<SegmentId> dead_segments() const;
  bool is_dead(SegmentId segment) const;  // is one of them
  // Extents with a place in that segment that a mapping still names: what the cleaner must move and
  // what forbids freeing. Looks each extent of the segment up by identity.
  Result<std::vector<format::MovedExtent>> live_extents(SegmentId segment) const;
  // The same for stripes that somebody else names.
  Result<std::vector<format::MovedExtent>> live_extents(
      std::span<const format::StripeDescriptor> stripes) const;
  // Ranges of content that a mapping, present or history, finds in that extent of that stripe.
  struct Use {
    std::optional<Sequence> snapshot;  // absent: the present
    std::uint64_t offset = 0, length = 0;
  };
  Result<std::vector<Use>> uses_of(const format::StripeDescriptor& stripe,
                                   const format::StripeExtent& extent) const;
  // Drops the descriptors and counters of a segment that is free. Errors: kConflict when a mapping
  // still names it (nothing is done then).
  Result<> forget_segment(SegmentId segment);

  // Visits every stripe descriptor, for adoption at start.
  Result<> for_each_stripe(const std::function<void(const format::StripeDescriptor&)>& visit) const;

  // Every internal relation: pieces do not overlap, live bytes as counted, written ranges mapped,
  // each placed extent's stripe known. Names each difference, up to `named_max`; what follows is
  // not looked at. Errors: what could not be read at all.
  Result<std::vector<std::string>> differences(std::size_t named_max) const;
  // The first of them as an error.
  Result<> check() const;

  Kv& kv();

  class Impl;

 private:
  explicit Index(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::index
