#pragma once
// The inside of AsioLoop, for lib/env/real/*.cpp only: this is the one header that costs Asio.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <variant>
#include <vector>

#include "env/real/asio_loop.hpp"
#include "env/real/thread_pool.hpp"

namespace square::env {

// What takes part in every turn of the loop.
class TurnHook {
 public:
  virtual ~TurnHook() = default;
  // Submits what the turn has gathered. False: could not submit all, so the loop must not block.
  virtual bool end_of_turn() = 0;
  // Takes what has completed, without a system call; posts the waiters.
  virtual void poll() = 0;
  virtual std::size_t in_flight() const = 0;
};

struct AsioLoop::Impl {
  explicit Impl(AsioLoopOptions options);
  ~Impl();

  void run();
  void turn();
  void fire_timers();
  void drain_ready();
  bool end_turn();  // true: nothing forbids to block
  bool spin();      // the same
  void block();
  void arm_timer_descriptor();
  void wait_timer_descriptor();
  void take_foreign();
  void add_hook(TurnHook* hook) { hooks.push_back(hook); }
  void remove_hook(TurnHook* hook) { std::erase(hooks, hook); }

  const AsioLoopOptions options;
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;

  using Ready = std::variant<std::coroutine_handle<>, Callback>;
  std::deque<Ready> ready;
  std::vector<TurnHook*> hooks;
  bool ending = false;
  std::atomic<bool> stopped{false};

  // Ordered by time, then by age.
  std::map<std::pair<BootTime, std::uint64_t>, Callback> timers;
  std::unordered_map<std::uint64_t, BootTime> timer_times;
  std::uint64_t timer_last = 0;
  boost::asio::posix::stream_descriptor timer_descriptor;  // a timerfd on CLOCK_BOOTTIME
  std::optional<BootTime> timer_armed;

  std::mutex foreign_mutex;
  std::vector<Callback> foreign;  // from other threads
  std::atomic<bool> foreign_waiting{false};

  std::map<int, std::unique_ptr<boost::asio::signal_set>> signals;
  ThreadPool helpers;
};

}  // namespace square::env
