#pragma once
// One thread that runs everything of one engine: coroutines, timers, completions. Nothing here is
// thread-safe except where said. The real one stands on Boost.Asio; the simulated one on a seed.

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>

#include "base/task.hpp"

namespace square::env {

using Duration = std::chrono::nanoseconds;

// Time since boot, sleep included (CLOCK_BOOTTIME). Never goes back. Orders nothing between nodes.
struct BootTime {
  std::int64_t ns = 0;
  auto operator<=>(const BootTime&) const = default;
  BootTime operator+(Duration d) const { return {ns + d.count()}; }
  BootTime operator-(Duration d) const { return {ns - d.count()}; }
  Duration operator-(BootTime other) const { return Duration(ns - other.ns); }
};

// Calendar time, nanoseconds since 1970 UTC. May jump; for people and retention, never for order.
struct WallTime {
  std::int64_t ns = 0;
  auto operator<=>(const WallTime&) const = default;
};

class Loop {
 public:
  using Callback = std::function<void()>;
  struct TimerId {
    std::uint64_t value = 0;
  };

  virtual ~Loop() = default;

  virtual BootTime now() const = 0;
  virtual WallTime wall() const = 0;

  // Resumes `handle` (runs `callback`) later, from the loop itself, in the order of the calls.
  // Loop thread only.
  virtual void post(std::coroutine_handle<> handle) = 0;
  virtual void post(Callback callback) = 0;
  // The same from any thread.
  virtual void post_from_any_thread(Callback callback) = 0;

  // Runs `callback` once `now() >= at`. Cancelling a timer that has fired is allowed.
  virtual TimerId add_timer(BootTime at, Callback callback) = 0;
  virtual void cancel_timer(TimerId id) = 0;

  // Runs `work` on a helper thread, then `done` on the loop. For what blocks or lasts over 200 us.
  // `work` must not touch anything that the loop may touch meanwhile.
  virtual void run_on_helper(Callback work, Callback done) = 0;

  // The process is being dropped (simulated crash, or the last step of shutdown): posts are
  // ignored, and owners may destroy unfinished tasks.
  virtual bool ending() const = 0;
};

// co_await sleep_for(loop, 5ms): resumes no earlier than that.
Task<void> sleep_until(Loop& loop, BootTime at);
Task<void> sleep_for(Loop& loop, Duration duration);
// Lets everything that is ready run first.
Task<void> yield(Loop& loop);

namespace detail {
struct HelperWait {
  Loop& loop;
  Loop::Callback work;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    auto& on = loop;
    on.run_on_helper(std::move(work), [&on, h] { on.post(h); });
  }
  void await_resume() const noexcept {}
};
}  // namespace detail

// auto sum = co_await offload(loop, [buffer] { return checksum(buffer); });
// The function must own all that it touches, and return a default-constructible value.
template <class Function>
auto offload(Loop& loop, Function function) -> Task<std::invoke_result_t<Function>> {
  auto value = std::make_shared<std::invoke_result_t<Function>>();
  auto shared = std::make_shared<Function>(std::move(function));
  detail::HelperWait wait{loop, [value, shared] { *value = (*shared)(); }};
  co_await wait;
  co_return std::move(*value);
}

}  // namespace square::env
