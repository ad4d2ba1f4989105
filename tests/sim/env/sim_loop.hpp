#pragma once
// The Loop of one run of one simulated process: from its start to its crash. Whatever is ready runs
// in the order in which it became ready, one item a turn, each turn at a later virtual time.
//
// After end() nothing runs any more: what was ready, timers and helpers are dropped, posts are
// ignored, and ending() lets owners destroy unfinished tasks.

#include <deque>
#include <vector>

#include "env/loop.hpp"
#include "sim/env/sim_world.hpp"

namespace square::sim {

class SimLoop final : public env::Loop, public EventTarget {
 public:
  SimLoop(SimWorld& world, const ProcessOptions& options) : world_(world), options_(options) {}

  env::BootTime now() const override;
  env::WallTime wall() const override;
  void post(std::coroutine_handle<> handle) override;
  void post(Callback callback) override;
  void post_from_any_thread(Callback callback) override;
  TimerId add_timer(env::BootTime at, Callback callback) override;
  void cancel_timer(TimerId id) override;
  void run_on_helper(Callback work, Callback done) override;
  bool ending() const override { return ending_; }

  void fire(std::uint64_t token) override;
  void end();
  // A stopped process (SIGSTOP): its disks and helpers go on, itself does not.
  void set_paused(bool paused);
  bool paused() const { return paused_; }
  SimWorld& world() { return world_; }

 private:
  enum Kind : std::uint64_t { kTurn, kTimer, kHelper };
  struct Ready {
    std::coroutine_handle<> handle;
    Callback callback;
    std::uint64_t timer = 0;  // its token
  };
  struct Slot {
    std::uint32_t use = 1;  // tells this use of the slot from earlier ones
    Callback work;
    Callback done;
  };

  static std::uint64_t token_of(Kind kind, std::uint32_t slot, std::uint32_t use) {
    return static_cast<std::uint64_t>(use) << 32 | static_cast<std::uint64_t>(slot) << 2 | kind;
  }
  std::uint64_t take_slot(Kind kind, Callback work, Callback done);
  Slot* find(std::uint64_t token);
  void free_slot(std::uint64_t token);
  std::int64_t world_time_of(env::BootTime at) const;
  void push(Ready ready);
  void plan_turn();
  void run_turn();
  void bury();

  SimWorld& world_;
  ProcessOptions options_;
  bool ending_ = false;
  bool paused_ = false;
  bool turn_planned_ = false;
  bool in_turn_ = false;
  std::deque<Ready> ready_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace square::sim
