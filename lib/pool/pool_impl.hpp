#pragma once
// How the parts of a pool hang together. Private to lib/pool.

#include "env/env.hpp"
#include "pool/checkpoint_store.hpp"
#include "pool/members.hpp"
#include "pool/repair.hpp"
#include "pool/retirement.hpp"
#include "pool/segments.hpp"
#include "pool/stripe_io.hpp"
#include "pool/summaries.hpp"

namespace square::pool {

// Calls in flight. Shared with their frames, which a simulated crash may destroy after the pool.
struct CallGate {
  explicit CallGate(env::Loop& loop) : idle(loop) { idle.set(); }
  std::size_t calls = 0;
  bool stopping = false;
  env::Event idle;
};

class CallPass {
 public:
  explicit CallPass(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {
    ++gate_->calls;
    gate_->idle.reset();
  }
  CallPass(const CallPass&) = delete;
  ~CallPass() {
    if (--gate_->calls == 0) gate_->idle.set();
  }
  bool refused() const { return gate_->stopping; }
  static Error refusal() { return {Code::kUnavailable, "the pool is stopping"}; }

 private:
  std::shared_ptr<CallGate> gate_;
};

class Pool::Impl {
 public:
  Impl(env::Env env, env::DiskOptions disk_options, CellId cell, NodeId node, Membership membership,
       std::vector<format::CheckpointRef> checkpoints);
  ~Impl();

  void watch(const MemberDiskPtr& disk);
  // Of a disk that has failed: the table, the lane and the labels learn of it.
  void disk_failed(MemberDisk& disk);
  void serve(std::uint32_t epoch, StripeCatalog* catalog, std::function<void(Slot)> on_slot_lost);
  PoolStatus status() const;
  std::vector<DiskStatus> disks() const;
  Async<> fail_disk(Slot slot, std::string why);
  Async<DiskId> add_disk(std::string path);
  Result<> retire_disk(Slot slot, std::optional<DiskId> by);
  Async<std::string> reconcile();
  Result<> start_scrub(SegmentId from);
  Task<void> stop();
  // Writes the summaries that have become due.
  void summarize();

  env::Env env;
  env::DiskOptions disk_options;
  env::Duration retire_slow_after{};
  CellId cell;
  NodeId node;
  std::shared_ptr<Members> members;
  std::shared_ptr<SegmentTable> segments;
  PromptIo prompt;
  StripeIo stripes;
  CheckpointStore checkpoints;
  Summaries summaries;
  Pacer pacer;
  Repair repair;
  Retirement retirement;
  std::shared_ptr<CallGate> gate;
  std::uint64_t journal_bytes_written = 0;
  std::function<void(Slot)> on_slot_joined;
  std::function<void()> on_segment_freed;

 private:
  Task<void> tell_labels();
  Task<void> discard(SegmentId segment);
  Task<void> run_rebuild(bool look);
  Task<void> run_scrub();
  Task<void> run_mend();
  Task<void> run_summaries();
  Task<void> run_retirement();
  std::string retire_slow();
  DiskStatus status_of(Slot slot) const;
  DiskStatus status_of(const MemberDisk& spare) const;
  std::string take_spares();

  void set_aside(Slot slot);
  void judge_speed();

  std::function<void(Slot)> on_slot_lost_;
  std::vector<Slot> lost_before_serving_;
  bool serving_ = false;
  bool rebuilding_ = false, scrubbing_ = false, mending_ = false, summarizing_ = false;
  env::BootTime retire_slow_again_;
  bool rebuild_resumes_ = true;  // a slot that was rebuilding at open may have strips already
  env::Scope scope_;
};

}  // namespace square::pool
