#pragma once
// The driver of a lane: batches in flight, copies, recovery reads. What it does when is decided in
// lane_core.hpp and chain_finder.hpp.

#include <map>
#include <set>
#include <string>

#include "journal/append_queue.hpp"
#include "journal/chain_finder.hpp"
#include "journal/lane.hpp"
#include "journal/lane_core.hpp"

namespace square::journal {

class Lane::Impl {
 public:
  Impl(env::Env env, JournalDisks& disks, LaneConfig config);

  Async<RecoveredLane> recover(LanePoint tail);
  Async<> restore_copies();
  void start(Epoch epoch, std::function<void(const DurableRecord&)> on_durable);
  Async<LanePosition> append(BufferChain record, Reserve reserve, std::uint64_t promised_bytes);
  Async<std::uint64_t> reserve(std::uint64_t first_bytes,
                               std::uint64_t second_bytes = 0);  // what it takes of the ring
  void give_back(std::uint64_t promised_bytes);
  bool waits_for_room() const { return waits_for_room_; }
  void set_tail(LanePosition tail);
  void tail_is_in_checkpoint(LanePosition tail);
  void slot_lost(Slot slot);
  void slot_joined(Slot slot);
  bool copies_whole() const;
  Task<void> wait_copies_whole();
  Task<void> stop();

  const LaneCore& core() const { return core_; }
  bool halted() const { return halted_; }
  const Stats& stats() const { return stats_; }

 private:
  // A batch until it is durable. Its task writes copies until it has enough.
  struct InFlight {
    InFlight(env::Loop& loop, format::JournalBatch made, std::vector<AppendPtr> carried)
        : batch(std::move(made)), appends(std::move(carried)), changed(loop) {}
    LanePosition position() const { return batch.header.position; }
    format::JournalBatch batch;
    std::vector<AppendPtr> appends;
    std::set<Slot> writing;
    env::Event changed;
    bool durable = false;
    bool reported = false;
  };
  using InFlightPtr = std::shared_ptr<InFlight>;
  struct Plan {
    std::vector<AppendPtr> records;
    bool filler = false;   // the next record lies beyond the ring's end
    bool blocked = false;  // somebody waits for room
  };
  enum class Phase : std::uint8_t { kNew, kRecovered, kRestored, kServing };

  // lane.cpp
  Task<void> run_pump();
  Plan plan_batch();
  bool start_next_batch();
  void start_batch(std::vector<AppendPtr> appends, std::uint32_t filler_bytes);
  Task<void> run_batch(InFlightPtr batch);
  void write_missing_copies(const InFlightPtr& batch, const std::vector<Slot>& live);
  Task<void> write_copy(InFlightPtr batch, Slot slot);
  bool flushed(const InFlight& batch) const;
  void advance();
  void report(InFlight& batch);
  void halt();
  void fail_waiting();

  // lane_copies.cpp
  Task<void> run_copier();
  // One turn over what lacks copies. True when that changed something.
  Task<bool> copy_round();
  Task<Buffer> read_good(LanePosition position);
  Task<void> flush_slot(Slot slot);
  Task<void> flush_slots(std::vector<Slot> slots);

  // lane_recovery.cpp
  Async<> scan_disks();
  Task<void> scan_disk(Slot slot);
  Async<> scan_blocks(Slot slot, std::uint64_t ring_offset, std::uint64_t size);
  Result<> scan_piece(Slot slot, std::uint64_t ring_offset, const Buffer& piece);
  Task<std::vector<Candidate*>> verified_path();
  Task<void> verify(Candidate* candidate);
  Result<> check_no_hole(LanePosition end) const;

  // Members that take writes, as far as this lane has seen.
  std::vector<Slot> live_slots() const;
  std::uint64_t losses(Slot slot) const;
  // A request failed; `losses_before` says whether that loss was announced meanwhile.
  void request_failed(Slot slot, std::uint64_t losses_before);
  // A read failed. What could not be read is no copy; the disk's others count as long as it lives.
  void read_failed(Slot slot, std::uint64_t losses_before);
  bool serving() const { return phase_ == Phase::kServing && !stopping_ && !halted_; }
  std::string named(std::string_view what) const;
  Error unavailable() const;

  env::Loop& loop_;
  JournalDisks& disks_;
  LaneCore core_;
  Phase phase_ = Phase::kNew;
  bool stopping_ = false;
  bool halted_ = false;
  Epoch epoch_;
  std::function<void(const DurableRecord&)> on_durable_;
  Stats stats_;

  AppendQueue queue_;
  bool waits_for_room_ = false;
  std::deque<InFlightPtr> in_flight_;
  env::Event work_;  // for the pump: appends, room, a batch less in flight

  std::map<Slot, std::uint64_t> losses_;  // how often each was lost: tells one disk from the next
  std::uint64_t losses_total_ = 0;
  std::set<Slot> distrusted_;   // failed here, and nobody has announced it yet
  bool maybe_lacking_ = false;  // false: every durable batch has its copies
  env::Event copies_work_;      // for the copier
  env::Event copies_done_;

  std::optional<ChainFinder> finder_;  // during recover()
  std::uint32_t disks_scanned_ = 0;
  Result<> scan_error_;
  Epoch highest_epoch_;

  env::Scope scope_;  // last: its tasks use all of the above
};

}  // namespace square::journal
