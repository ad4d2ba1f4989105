#pragma once
// Applies the stream of a diff to a group that takes no operations of its own: the other end of
// DiffSource. Needs no keys. What has come is in the index as it comes; a crash takes some of it
// back, and the cursor with it, so that it comes again.
//
//   begin -> header? items, items..., records, sessions, snapshots, end -> root equal? shown
//      |        ^ another source goes on from the cursor                     | no
//      +--------+---- revert: back to the base, from the base's own history <+

#include <functional>
#include <optional>
#include <vector>

#include "env/sync.hpp"
#include "format/diff_stream.hpp"
#include "store/core.hpp"

namespace square::store {

class DiffReceiver {
 public:
  // `checkpoint`: on return, what the index has taken survives the loss of the local index.
  DiffReceiver(Core& core, GroupId group, std::function<Async<>()> checkpoint);

  // What to ask a source for that holds the snapshots `offered`, so that `target` arrives: the
  // header of its stream. It goes on where the last one ended, if it can; else whatever stands in
  // the way is reverted first. Nothing: the target is here, and durable. The caller may tell other
  // stores so: what it names is never asked for again.
  // Errors: kNotFound (the source does not offer the target), kConflict (snapshots here would have
  // to go, because the source does not know them, and `may_drop` is not set; or are newer), kIo.
  Async<std::optional<format::DiffHeader>> begin(format::SnapshotId target,
                                                 std::vector<format::SnapshotId> offered,
                                                 DropForks may_drop);
  // The next piece of that stream, as a DiffDecoder gave it. After the end has been taken, the
  // target is a snapshot here, proven by its state root, and durable. Errors: kNoSpace (the same
  // piece may come again), kInvalid (not the stream that was asked for), kCorrupt (an extent that
  // is not what it is said to be or that never came; another root: the next begin() reverts the
  // target, and asks for all of it), kIo, and as Pool::write_stripe. After an error but kNoSpace
  // only begin() helps.
  Async<> take(format::DiffPiece piece);

 private:
  using Row = format::LandingRow;
  Result<Row> landing() const;
  std::optional<format::SnapshotId> newest_held() const;
  bool holds(const format::SnapshotId& id) const;
  Result<std::optional<format::DiffBase>> common_base(
      const format::SnapshotId& target, const std::vector<format::SnapshotId>& offered,
      DropForks may_drop) const;
  bool goes_on(const Row& row, const format::SnapshotId& target,
               const std::vector<format::SnapshotId>& offered) const;
  Async<> make_durable();
  Async<> revert(std::optional<format::SnapshotId> to);
  Async<> clear();

  struct Came {  // an extent that was placed
    VolumeId volume;
    std::uint64_t offset = 0;
    format::ExtentRef extent;  // without its place
    format::Place place;
  };
  Result<> find_places(const std::vector<Came>& came, std::vector<format::DiffItem>& items) const;
  Async<> take_one(format::DiffHeader header);
  Async<> take_one(format::DiffItems items);
  Async<> take_one(format::DiffRecords records);
  Async<> take_one(format::DiffSessions sessions);
  Async<> take_one(format::DiffSnapshots snapshots);
  Async<> take_one(format::DiffEnd end);
  Async<format::StateHash> root();

  Core& core_;
  GroupId group_;
  std::function<Async<>()> checkpoint_;
  env::Mutex mutex_;
  bool durable_ = false;  // all that is held is in a checkpoint
  // From here a target did not come out right: its identities are others than the source's.
  std::optional<format::SnapshotId> unfit_base_;
  std::optional<format::DiffHeader> wanted_;
  bool begun_ = false;     // its header has come
  bool may_have_ = false;  // some of what comes may be here already
  std::vector<format::DiffSession> sessions_;
  std::int64_t wall_ns_ = 0;
};

}  // namespace square::store
