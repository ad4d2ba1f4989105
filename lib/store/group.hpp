#pragma once
// One group: its log, its volumes, its reads. Internal to lib/store; Engine is the face.
//
//   write -> borrow a sealer, lock the blocks, hold write-buffer budget     (may wait)
//         -> take a sequence                                               (from here on it is
//         ordered)
//         -> seal, on the loop or a helper                                 (a failure makes it
//         void)
//         -> hand over in sequence order: chain hash, then every leg at once
//         -> durable on each, and all before it too: commit, memory map, ACK
//   later -> destage: committed, unplaced operations -> one stripe -> placement record -> index

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "format/store_records.hpp"
#include "store/core.hpp"
#include "store/findings.hpp"
#include "store/leg.hpp"
#include "store/memory_map.hpp"
#include "store/range_lock.hpp"
#include "store/retention_clock.hpp"
#include "store/seals.hpp"
#include "store/sessions.hpp"

namespace square::store {

// Whole blocks of a volume, with the hash that each block had where it came from.
struct BlockContent {
  std::uint64_t offset = 0;
  Buffer data;
  std::vector<std::uint64_t> ingest;
};

// A part of a read: where the bytes are.
struct ReadPiece {
  std::uint64_t offset = 0, length = 0;
  bool hole = true;
  format::ExtentRef extent;
  std::uint32_t extent_offset = 0;
  Buffer stored;                     // while it has no place
  std::optional<Sequence> snapshot;  // that is read
};

class Group {
 public:
  // `leg`: this node's copy of the log, when it is to be another one than LocalLeg.
  Group(Core& core, GroupId id, std::unique_ptr<Leg> leg = nullptr);
  ~Group();

  GroupId id() const { return id_; }
  Sequence commit() const { return commit_; }
  Sequence applied() const { return applied_; }

  // What came as a diff is what the index holds now.
  Result<> take_over_received();
  // What volumes are listed as of: the present, or, of what came as diffs, the newest.
  std::optional<Sequence> shown() const;

  // ---- recovery, in this order: restore, replay..., adopt_tail, then after the lane has started
  // begin_term.
  // Takes over what the index holds.
  Result<> restore();
  // A record of the lane, in lane order. Payload and places are kept until the index takes them.
  Result<> replay(const format::Operation& operation, std::vector<Buffer> stored,
                  std::vector<format::StripeDescriptor> stripes, LanePosition position);
  // Everything after the first gap in sequences was never acknowledged: it is void.
  Result<> adopt_tail();
  Async<> begin_term(Epoch epoch);
  std::uint64_t replayed() const { return replayed_; }

  // ---- volumes
  Async<VolumeInfo> create_volume(CreateVolume request);
  // `edit` sees the record as it is when its turn has come, and says what is wrong with the change.
  using Edit = std::function<Result<>(format::VolumeRecord& record)>;
  Async<VolumeInfo> change_volume(VolumeId id, Edit edit);
  struct Volume {
    format::VolumeRecord record;
    std::optional<std::string> name;  // absent when this node lacks the key that it is sealed with
  };
  const std::map<VolumeId, Volume>& volumes() const { return volumes_; }
  Result<VolumeInfo> info(VolumeId id, const Volume& volume) const;
  std::int64_t retention_now() const;
  // Errors: kConflict when it is not deleted, or, `expired_only`, can still be brought back.
  Async<> purge_volume(VolumeId id, bool expired_only);
  // Purges whose time has come; to be called now and then, not by the background.
  Async<> purge_expired();
  // Seals anew the visible parts of extents of which little is visible; up to about `bytes_max`.
  // Gives way to clients. To be called now and then, not by the background. Errors: kNoSpace.
  Async<> rewrite_some(std::uint64_t bytes_max);
  // The same, at once and for all of these extents of which a good part is hidden, because the pool
  // is short of room. How many there were; they are in the index when it returns. Errors: kNoSpace.
  Async<std::size_t> trim(std::vector<format::MovedExtent> extents);

  // ---- data
  Async<> write(VolumeId volume, std::uint64_t offset, Buffer data,
                std::vector<std::uint64_t> ingest, RequestId request);
  Async<Buffer> read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                     std::optional<Sequence> at);
  Async<> zero(VolumeId volume, std::uint64_t offset, std::uint64_t length, RequestId request);
  Async<std::vector<Extents>> block_status(VolumeId volume, std::uint64_t offset,
                                           std::uint64_t length, std::size_t count_max,
                                           std::optional<Sequence> at);
  Async<> open_session(SessionId session);
  Async<> end_session(SessionId session);

  // ---- snapshots
  // Both are done, for good, when they answer ok. What they change is listed and read as soon as
  // the index has it: before the answer, unless the pool is so full that the index stands still.
  Async<SnapshotView> create_snapshot(std::vector<VolumeId> volumes, std::string name);
  Result<std::vector<SnapshotView>> list_snapshots() const;
  Async<> drop_snapshot(Sequence mark);
  // The index has taken everything up to `sequence`. Errors: kNotFound (nothing up to there is
  // committed), kNoSpace, kUnavailable.
  Async<> wait_applied(Sequence sequence);

  // ---- background, driven by the engine
  // Stored bytes committed and not yet placed.
  std::uint64_t unplaced_bytes() const { return unplaced_bytes_; }
  bool has_unapplied() const { return !pending_.empty(); }
  bool wants_destage() const { return wanted_applied_ > applied_ && commit_ > applied_; }
  // Moves a stripe's worth of the oldest unplaced operations out of journal and memory. Does
  // nothing when there is none. Errors: kNoSpace (try again when there is room), kIo.
  Async<> destage_once();
  Result<> apply_ready();
  // What the index has taken and what the log still holds, against each other (check.cpp).
  void check_log(Findings& out) const;
  // Every operation that waits gets OutcomeUnknown, and the write buffer's budget is free.
  void fail_waiters(const Error& error);

 private:
  friend class LocalLeg;
  using Logged = std::shared_ptr<LoggedOperation>;
  struct Draft {
    format::OperationType type;
    decltype(format::Operation::body) body;
    RequestId request;
  };
  struct CommitWait;

  // ---- the log (group_log.cpp)
  Logged take_sequence(format::OperationType type, RequestId request);
  void ready(const Logged& logged);
  void hand_over();
  Task<void> send(Logged logged);
  void advance();
  Result<> enter(const Logged& logged);
  Result<> take_record(const std::string& key, Bytes value);
  void forget_record(const std::string& key);
  Async<> committed(Logged logged);
  Result<Logged> submit(Draft draft);  // what is submitted in one go is logged in one go
  Async<> log(Draft draft);
  Logged find(Sequence sequence) const;
  void finish(const Logged& logged, Result<> result);
  // Errors: kUnsupported when not every node of the group knows the type.
  Result<> may_log(format::OperationType type) const;
  Async<> put_record(std::string key, ByteVector value, RequestId request = {});

  // ---- volumes and snapshots (group_volumes.cpp, group_snapshots.cpp)
  codec::FieldPlace field_place(std::string_view record) const;
  Result<codec::SealedField> seal_name(KeyId key, std::string_view record,
                                       const std::string& name) const;
  // Nothing when this node lacks the key.
  Result<std::optional<std::string>> open_name(std::string_view record,
                                               const codec::SealedField& name) const;
  Result<> check_unique(const std::string& name) const;
  std::int64_t expires_ns(const format::VolumeRecord& record) const;
  Async<> put_group_record(std::uint64_t next_volume);
  Result<SnapshotView> view_of(const index::SnapshotInfo& held) const;
  std::string shown_id(Sequence mark) const;
  Async<> applied_if_possible(Sequence sequence);

  // ---- writing (group_write.cpp)
  // The record of a volume: as it is now, when it is not deleted, or as of a snapshot that the
  // index has taken. Errors: kNotFound.
  Result<format::VolumeRecord> record_of(VolumeId volume, std::optional<Sequence> at) const;
  Result<> check_range(VolumeId volume, std::uint64_t offset, std::uint64_t length) const;
  Async<> take_room(std::uint64_t bytes);
  Async<> write_locked(VolumeId volume, std::uint64_t offset, Buffer data,
                       std::vector<std::uint64_t> ingest, RequestId request);
  Async<BlockContent> whole_blocks(VolumeId volume, std::uint64_t offset, Buffer data,
                                   std::vector<std::uint64_t> ingest);
  Async<> write_blocks(VolumeId volume, BlockContent content, RequestId request);
  struct SealJob;
  Async<> seal_and_log(SealJob job);
  Async<> zero_range(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                     RequestId request);
  template <class Function>
  Async<> once(RequestId request, Function function);

  // ---- reading (group_read.cpp)
  Result<std::vector<ReadPiece>> map_range(VolumeId volume, std::uint64_t offset,
                                           std::uint64_t length, std::optional<Sequence> at) const;
  // `ingest`, when given, gets the hash of each block as its client made it; not for holes.
  std::optional<codec::StoredPart> part_to_read(const ReadPiece& piece) const;
  Result<codec::SealId> seal_of(std::uint32_t reference, std::optional<Sequence> at) const;
  Incarnation incarnation_of(std::optional<Sequence> at) const;
  codec::ExtentIdentity identity_of(VolumeId volume, const ReadPiece& piece) const;
  Task<void> read_stored(format::Place place, std::uint32_t begin, std::uint32_t end,
                         Result<Buffer>* out);
  Async<> fetch_part(VolumeId volume, KeyId key, const ReadPiece& piece, codec::StoredPart part,
                     MutableBytes out, std::vector<std::uint64_t>* ingest);
  Async<> fetch(VolumeId volume, KeyId key, ReadPiece piece, MutableBytes out,
                std::vector<std::uint64_t>* ingest = nullptr);
  Task<void> fetch_one(VolumeId volume, KeyId key, ReadPiece piece, MutableBytes out,
                       Result<>* result);
  Async<> read_blocks(VolumeId volume, KeyId key, std::uint64_t offset, MutableBytes out,
                      std::optional<Sequence> at);
  Async<format::VolumeRecord> begin_reading(VolumeId volume, std::uint64_t offset,
                                            std::uint64_t length, std::optional<Sequence> at);

  // ---- rewriting (group_rewrite.cpp)
  struct RewritePlan;
  Result<std::vector<RewritePlan>> look_for_sparse(std::uint64_t bytes_max);
  Result<std::optional<RewritePlan>> plan_of(VolumeId volume, std::uint64_t offset,
                                             const format::ExtentRef& extent) const;
  Async<SealJob> rewrite_job(RewritePlan plan);
  Async<> rewrite(RewritePlan plan);
  Async<> rewrite_for_room(RewritePlan plan);
  struct Trimming;
  Task<void> trim_worker(Trimming* trimming);
  bool clients_wait() const;

  // ---- destaging (group_destage.cpp)
  struct Take {
    std::vector<Logged> operations;
    std::vector<pool::StripeItem> items;
    bool any_unplaced = false;
  };
  Take take_for_destage() const;

  Core& core_;
  GroupId id_;
  Incarnation incarnation_;
  Epoch epoch_;
  std::uint64_t next_volume_ = 1;
  std::uint16_t level_ = format::kFeatureLevel;
  RetentionClock clock_;
  std::int64_t noted_ns_ = 0;  // the clock as the group's record has it

  // pending_[i] has sequence applied_ + 1 + i.
  std::deque<Logged> pending_;
  Sequence applied_, commit_, handed_, last_;
  format::Hash128 chain_{};  // as of handed_
  bool serving_ = false;
  std::uint64_t unplaced_bytes_ = 0;
  std::uint64_t replayed_ = 0;
  std::map<Sequence, Logged> replay_;  // recovered, above applied_, not yet in pending_
  struct Term {
    std::uint32_t epoch;
    Sequence last;
  };
  std::vector<Term> terms_;  // of the records replayed
  Sequence commit_seen_;     // the highest that any of them calls acknowledged
  Sequence wanted_applied_;  // somebody waits for it

  struct RewritePass {
    bool under_way = false;
    index::Index::Cursor cursor;
    Sequence began;         // what the index had taken at its begin
    Sequence cold;          // what is newer than the begin of the pass before is left alone
    Sequence looked_up_to;  // `cold` of the last one that came to its end
    env::BootTime next;
  };
  RewritePass pass_;

  MemoryMap memory_;
  std::map<VolumeId, Volume> volumes_;
  Sessions sessions_;
  Seals seals_;
  codec::Opener opener_;
  RangeLocks locks_;
  env::Mutex control_;  // changes of volumes and snapshots, one at a time
  std::unique_ptr<Leg> local_;
  env::Scope scope_;  // last: its tasks end before what they use
};

}  // namespace square::store
