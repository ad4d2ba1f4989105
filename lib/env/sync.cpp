#include "env/sync.hpp"

namespace square::env {

namespace {

struct TimerWait {
  Loop& loop;
  BootTime at;
  bool await_ready() const { return loop.now() >= at; }
  void await_suspend(std::coroutine_handle<> h) {
    auto& on = loop;
    on.add_timer(at, [h] { h.resume(); });
  }
  void await_resume() const noexcept {}
};

struct YieldWait {
  Loop& loop;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) { loop.post(h); }
  void await_resume() const noexcept {}
};

}  // namespace

Task<void> sleep_until(Loop& loop, BootTime at) {
  TimerWait wait{loop, at};
  co_await wait;
}

Task<void> sleep_for(Loop& loop, Duration duration) {
  return sleep_until(loop, loop.now() + duration);
}

Task<void> yield(Loop& loop) {
  YieldWait wait{loop};
  co_await wait;
}

void Event::set() {
  set_ = true;
  pulse();
}

void Event::pulse() {
  for (auto handle : std::exchange(waiting_, {})) loop_.post(handle);
}

bool Budget::try_acquire(std::uint64_t units) {
  SQ_CHECK(units <= total_, "request larger than the whole budget");
  if (!waiting_.empty() || units > free_) return false;
  free_ -= units;
  return true;
}

void Budget::release(std::uint64_t units) {
  free_ += units;
  SQ_CHECK(free_ <= total_, "budget given back twice");
  while (!waiting_.empty() && waiting_.front().units <= free_) {
    free_ -= waiting_.front().units;
    loop_.post(waiting_.front().handle);
    waiting_.pop_front();
  }
}

Task<Mutex::Lock> Mutex::lock() {
  co_await budget_.acquire(1);
  co_return Lock(budget_);
}

struct Scope::Root {
  struct promise_type {
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }  // frees itself
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

Scope::Root Scope::run(Task<void> task, std::list<std::coroutine_handle<>>::iterator self) {
  co_await task;
  task = {};  // the task's frame goes before its owner learns that it ended
  tasks_.erase(self);
  if (tasks_.empty()) idle_.set();
}

void Scope::spawn(Task<void> task) {
  idle_.reset();
  const auto self = tasks_.emplace(tasks_.end());
  *self = run(std::move(task), self).handle;
  loop_.post(*self);
}

Scope::~Scope() {
  SQ_CHECK(tasks_.empty() || loop_.ending(), "a scope died before its tasks");
  while (!tasks_.empty()) {
    const auto handle = tasks_.front();
    tasks_.pop_front();
    handle.destroy();
  }
}

}  // namespace square::env
