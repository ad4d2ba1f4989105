#pragma once
// The real Loop: one thread on a Boost.Asio io_context. A turn fires due timers, drains what is
// ready (a bounded number, so that I/O gets its turn), lets the disks submit their batch, and then
// polls, or blocks if nothing is ready.

#include <memory>

#include "env/loop.hpp"

namespace square::env {

struct AsioLoopOptions {
  std::size_t helper_threads = 2;
  std::size_t ready_per_turn_max = 256;
  // While disk requests are in flight, polls this long before it blocks. Saves the wake-up of a
  // sleeping thread on each request; costs a core. 0: never.
  Duration spin_max{0};
};

class AsioLoop final : public Loop {
 public:
  explicit AsioLoop(AsioLoopOptions options = {});
  // Waits for helpers at work. Nothing that is queued runs any more.
  ~AsioLoop() override;
  AsioLoop(const AsioLoop&) = delete;

  // Runs turns until stop(), on the calling thread. May be called again.
  void run();
  // Any thread. run() returns after the present turn; without one running, the next returns at
  // once.
  void stop();
  // From now on posts are ignored, also those that are queued. Loop thread.
  void begin_ending();
  // Calls `callback` from the loop at each delivery of `signal` (SIGTERM, SIGINT, SIGHUP...).
  void on_signal(int signal, Callback callback);

  BootTime now() const override;
  WallTime wall() const override;
  void post(std::coroutine_handle<> handle) override;
  void post(Callback callback) override;
  void post_from_any_thread(Callback callback) override;
  TimerId add_timer(BootTime at, Callback callback) override;
  void cancel_timer(TimerId id) override;
  void run_on_helper(Callback work, Callback done) override;
  bool ending() const override;

  // For the other real parts of env (asio_loop_impl.hpp).
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::env
