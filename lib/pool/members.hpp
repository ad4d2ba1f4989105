#pragma once
// The pool's disks at run time: who sits in which slot, what their labels say, who has failed.

#include <functional>
#include <memory>
#include <vector>

#include "pool/member_disk.hpp"
#include "pool/membership.hpp"
#include "pool/slow_core.hpp"

namespace square::pool {

// A disk that is none of ours to use.
struct Bystander {
  std::string path;
  std::optional<Slot> slot;
  DiskId id;
  DiskState state = DiskState::kForeign;
  std::string why;
  std::uint64_t size_bytes = 0;
};

class Members {
 public:
  struct Failed {
    DiskId id;
    std::string path, why;
    std::uint64_t read_errors = 0, write_errors = 0, corruptions = 0;
  };

  Members(env::Loop& loop, Membership membership, CellId cell, NodeId node);

  const Geometry& geometry() const { return geometry_; }
  PoolId pool() const { return pool_; }
  std::uint64_t generation() const { return generation_; }
  Slot slots_end() const { return Slot(static_cast<std::uint16_t>(disks_.size())); }

  // ---- as found at open
  void place(Slot slot, MemberDiskPtr disk) { disks_[slot.value] = std::move(disk); }
  void add_spare(MemberDiskPtr disk) { spares_.push_back(std::move(disk)); }
  void add_bystander(Bystander disk) { bystanders_.push_back(std::move(disk)); }

  // ---- now
  // Nothing where the slot is empty or its disk has failed.
  MemberDiskPtr live(Slot slot) const;
  std::vector<Slot> live_slots() const;
  // Live, and not set aside: what new stripes and journal copies go to.
  std::vector<Slot> writable_slots() const;
  std::vector<Slot> missing_slots() const;
  bool rebuilding(Slot slot) const;
  // Its disk has failed and note_failed() has not come yet.
  bool holds_failed(Slot slot) const { return disks_[slot.value] && disks_[slot.value]->failed(); }
  std::size_t whole_count() const;
  // The disk that holds that slot's strips of that segment: nothing while they are not rebuilt.
  MemberDiskPtr holder(Slot slot, SegmentId segment) const;
  void set_built(Slot slot, SegmentId segment, bool built);
  bool built(Slot slot, SegmentId segment) const { return built_[slot.value][segment.value]; }
  // Neither failed nor some member's twin, and nothing of its time as one is still on its way.
  bool is_free(const MemberDisk& spare) const;
  MemberDiskPtr free_spare() const;
  MemberDiskPtr find_spare(DiskId disk) const;
  // Took the slot and does not sit in it yet.
  MemberDiskPtr joining(Slot slot) const { return joining_[slot.value]; }
  std::vector<MemberDiskPtr> all() const;  // every open disk, failed ones too
  const std::vector<MemberDiskPtr>& spares() const { return spares_; }
  const std::vector<Bystander>& bystanders() const { return bystanders_; }
  const std::vector<std::optional<Failed>>& failures() const { return failed_; }
  const std::vector<format::SlotEntry>& table() const { return table_; }
  std::optional<Slot> slot_of(const MemberDisk& disk) const;
  // What such a request usually takes the other members; nothing while too little is known.
  std::optional<env::Duration> peers_usual(Slot slot, RequestKind kind,
                                           std::uint64_t size_bytes) const;
  // It usually takes several times as long as its peers.
  bool lags(Slot slot, RequestKind kind, std::uint64_t size_bytes) const;

  // ---- slow ones
  bool aside(Slot slot) const { return slow_.aside(slot); }
  // A request of it was late. False when its part cannot be taken by others.
  bool set_aside(Slot slot);
  // Once a second or so. Judges each member by its peers; returns those that take writes again.
  std::vector<Slot> look_at_speed();
  bool slow(Slot slot) const { return slow_.slow(slot); }
  std::optional<env::BootTime> slow_since(Slot slot) const { return slow_.slow_since(slot); }

  // Fails every disk whose path names another file or whose labels cannot be read any more.
  Task<void> probe();

  // ---- changes of membership; effective here at once, durable by write_labels()
  // The slot of a member that failed; nothing where it was none.
  std::optional<Slot> note_failed(const MemberDisk& disk);
  // A spare takes an empty slot: rebuilding, nothing of it built yet. It is used from seat_joined()
  // on, when labels name it: what is acknowledged with its help must be found on it after a crash.
  void take_slot(Slot slot, MemberDiskPtr spare);
  void seat_joined();
  void set_whole(Slot slot);

  // ---- retirement: a member and its twin, which stays among the spares until it is seated
  //
  //   begin_twin()            name_twin()              seat_twin()
  //   member in use, twin     table names the twin,    twin in use,
  //   gets every write too    labels must follow       member let go
  //
  // When one of the two fails before name_twin(), the other is what it was before. Afterwards the
  // other has the slot, and sits in it when labels say so (seat_joined()): what labels name until
  // then may be either, and neither may miss anything.
  MemberDiskPtr twin(Slot slot) const { return twins_[slot.value]; }
  void begin_twin(Slot slot, MemberDiskPtr spare);
  void drop_twin(Slot slot);  // before name_twin()
  void name_twin(Slot slot);
  bool twin_named(Slot slot) const;
  // After write_labels(). The member that was let go; nothing while the twin's label does not name
  // it.
  MemberDiskPtr seat_twin(Slot slot);
  // A member that was let go, and joined: its file is closed when the last reader has ended.
  void close(const MemberDiskPtr& member) { std::erase(retired_, member); }
  // What it was twin of, if it is one.
  std::optional<Slot> twin_of(const MemberDisk& disk) const;

  // ---- labels
  std::optional<format::CheckpointRef> newest, previous;
  std::uint32_t epoch = 0;  // of the present serving term, else the last one that a label names
  // Raises the generation if there was a change, when every live disk has the label of the present
  // one: rounds that crashes cut short, one after another, leave no disk more than one behind. To
  // every live disk that lacks it, one copy after the other. One that is set aside is not waited
  // for before the next round: its label is at most one round behind, which is what a good disk may
  // be after a crash. Errors: kIo when fewer than k members are whole; then nothing is written.
  Async<> write_labels();
  // Own tasks are over. Nobody may call anything any more.
  Task<void> join() { co_await scope_.join(); }
  std::uint64_t label_bytes_written() const { return label_bytes_; }

 private:
  format::Label label_for(const MemberDisk& disk) const;
  std::vector<MemberDiskPtr> writable() const;
  bool is_named(Slot slot, const MemberDisk& disk) const;
  std::optional<Slot> survivor_takes(Slot slot, MemberDiskPtr survivor);
  void let_go(Slot slot, MemberDiskPtr disk);
  Task<void> write_round();
  Error too_few() const;
  std::optional<bool> behind(Slot slot);
  Task<void> write_lagging_label(MemberDiskPtr disk, format::Label label);

  env::Loop& loop_;
  Geometry geometry_;
  CellId cell_;
  NodeId node_;
  PoolId pool_;
  std::uint64_t generation_;
  bool changed_ = false;  // since the labels were written last
  std::vector<format::SlotEntry> table_;
  std::vector<format::SlotEntry> named_;  // the table as of generation_
  std::vector<MemberDiskPtr> disks_, joining_, twins_;
  std::vector<std::optional<Failed>> failed_;  // who failed last in each slot
  std::vector<std::vector<bool>> built_;       // of rebuilding slots, by segment
  std::vector<MemberDiskPtr> spares_;
  std::vector<Bystander> bystanders_;
  std::vector<MemberDiskPtr> retired_;
  SlowCore slow_;
  std::vector<RequestTimes> seen_;  // as of the last look
  env::Mutex label_mutex_;
  std::size_t lagging_labels_ = 0;
  env::Event lagging_written_;
  std::uint64_t label_bytes_ = 0;
  env::Scope scope_;  // last: its tasks use all of the above
};

}  // namespace square::pool
