#pragma once
// The engine's inside: recovery, background work, and the groups. Internal to lib/store.

#include <map>
#include <set>

#include "store/diff_receiver.hpp"
#include "store/group.hpp"

namespace square::store {

class Engine::Impl : public pool::StripeCatalog {
 public:
  Impl(env::Env env, EngineOptions options, index::KvFactory& index_files, codec::KeyStore& keys,
       bool with_local_index);

  // ---- recovery (recovery.cpp)
  Async<> open();
  // It failed over the local index: checkpoint and journal may do without.
  bool local_index_failed() const { return local_index_failed_; }
  // The journal changed under it: begun anew, recovery may find another end, or what was lost.
  bool journal_changed() const { return journal_changed_; }

  // ---- background (background.cpp)
  void start_background();
  Task<void> stop();
  // ---- comparing, and what is lost (check.cpp)
  Async<std::string> check();
  Async<Losses> losses(std::size_t ranges_max);
  Result<bool> has_losses() const;

  Async<> checkpoint();
  const Epoch& epoch() const { return epoch_; }
  Async<> drain();  // destages everything that is committed now

  // ---- StripeCatalog
  Result<std::optional<format::StripeDescriptor>> find(SegmentId segment,
                                                       format::Generation generation,
                                                       std::uint32_t stripe_block) override;
  Result<std::vector<format::StripeDescriptor>> in_segment(SegmentId segment) override;

  // A request holds one while it runs: stop() waits for all of them.
  class Visit {
   public:
    explicit Visit(Impl& impl) : impl_(impl) { ++impl_.visits_; }
    Visit(const Visit&) = delete;
    ~Visit() {
      if (--impl_.visits_ == 0) impl_.idle_.pulse();
    }

   private:
    Impl& impl_;
  };
  Result<> enter() const;
  Result<> enter_changing() const;  // kConflict in an engine that receives
  Result<Group*> group_of(GroupId id);
  // The group and record of a volume that is not deleted.
  struct Found {
    Group* group;
    VolumeId id;
    const Group::Volume* volume;  // valid until the next co_await
  };
  Result<Found> find_volume(const std::string& name, bool deleted);
  Result<Group*> group_of(VolumeId volume);
  // "<group>-<sequence>". Errors: kInvalid, kNotFound.
  struct At {
    Group* group;
    std::optional<Sequence> snapshot;
  };
  Result<At> parse_snapshot(const std::string& id);
  // Where to read: the volume now, or in a snapshot, which may be all that holds it.
  Result<At> reading_of(VolumeId volume, const std::optional<std::string>& snapshot);

  // ---- diffs (diffs.cpp)
  Result<DiffReceiver*> receiver(GroupId id);
  Async<> drop_received(Group& group, Sequence mark);
  class Sender;
  Group& group(GroupId id);

  Core core_;
  std::map<GroupId, std::unique_ptr<Group>> groups_;
  std::map<GroupId, std::unique_ptr<DiffReceiver>> receivers_;

 private:
  Async<std::unique_ptr<index::Index>> usable_index(const std::optional<pool::Checkpoint>& from,
                                                    const format::CheckpointHeader& header,
                                                    const journal::RecoveredLane& lane);
  Async<std::unique_ptr<index::Index>> import_index(const pool::Checkpoint& checkpoint);
  Result<> take_over(const journal::RecoveredLane& lane);
  Result<> replay(const journal::RecoveredLane& lane);
  struct ReplayedMove {
    format::MoveRecord move;
    LaneLedger::Hold hold;
  };
  Result<> replay_record(const journal::DurableRecord& record, std::vector<ReplayedMove>& moves);

  Task<void> background();
  Task<void> chores();  // chores.cpp
  Task<void> trims();   // chores.cpp
  Async<bool> background_round();
  bool should_destage(const Group& group) const;
  bool ring_is_tight() const;
  bool should_checkpoint() const;
  std::uint64_t changes_so_far() const;
  void arm_tick();
  Async<> checkpoint_locked();
  pool::Pool::ReadFile reader_of(index::KvExport& files);
  static Async<Buffer> read_export(env::Loop& loop, index::KvExport& files, index::KvFile file,
                                   std::uint64_t offset, std::uint32_t size);
  Async<> reclaim();         // cleaner.cpp
  Async<bool> clean_some();  // cleaner.cpp; true when there is more to do at once
  void check_lane_point(Findings& out) const;
  Async<> check_segment(SegmentId segment, Findings& out);
  void want_freed_segments(bool now);
  std::size_t segments_short() const;
  std::size_t cleaning_turns() const;
  bool may_clean(const index::SegmentUse& use) const;
  Result<bool> choose_victim();
  Result<bool> choose_damaged();
  // Lets writers in, or says to them that there will be no room.
  void settle_writers(bool may_gain);
  Task<void> copies_first();  // the journal has its copies before anything is rebuilt
  struct Moved {
    std::size_t moved = 0, lost = 0;  // that have a new place now; that cannot be read
  };
  Async<Moved> move_extents(std::vector<format::MovedExtent> extents);
  struct MoveReads;
  Task<void> read_for_move(MoveReads* reads);

  index::KvFactory& index_files_;
  Epoch epoch_;
  std::uint64_t next_checkpoint_ = 1;
  env::BootTime last_checkpoint_;
  std::uint64_t changes_at_checkpoint_ = 0;
  bool purging_ = false;  // mappings of purged volumes are going
  bool tick_ = false;     // a second has passed: small leftovers are destaged too
  bool want_checkpoint_ = false;
  // A stripe of it lost a strip to rot, or has little parity: its extents move elsewhere.
  std::set<SegmentId> damaged_;
  env::BootTime damaged_again_;  // there was no room for one of them: not before
  std::set<SegmentId> stuck_;    // not everything in it can be read: cleaning it again is in vain
  struct Cleaning {
    SegmentId segment;
    std::vector<format::MovedExtent> live;  // not moved yet
    bool damaged = false;
    std::size_t lost = 0;
  };
  std::optional<Cleaning> cleaning_;
  struct Trim {
    SegmentId segment;
    std::vector<format::MovedExtent> extents;
  };
  std::optional<Trim> trim_;         // under way
  std::set<SegmentId> untrimmable_;  // there was no room to, or nothing to be gained
  std::set<SegmentId> skipped_;      // those, and the ones that are to be trimmed later
  void look_again() {
    untrimmable_.clear();
    skipped_.clear();
  }
  struct Vain {
    format::Generation generation;
    std::uint64_t live_bytes = 0;
  };
  std::map<SegmentId, Vain> vain_;  // what cleaning it would have given when it was looked at
  bool with_local_index_;
  bool local_index_used_ = false;
  bool local_index_failed_ = false;
  bool journal_changed_ = false;
  bool serving_ = false;  // recovery is complete
  bool stopping_ = false;
  bool stopped_ = false;
  env::Loop::TimerId timer_;
  std::uint32_t visits_ = 0;
  env::Event idle_;
  env::Event chore_;  // set at each tick
  env::Event trim_wanted_;
  env::Mutex checkpoint_mutex_;
  env::Scope scope_;  // last
  friend class Visit;
};

}  // namespace square::store
