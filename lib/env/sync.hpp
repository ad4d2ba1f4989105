#pragma once
// Waiting, for coroutines of one Loop. Every wake-up goes through the Loop, in the order of
// waiting.

#include <deque>
#include <list>

#include "env/loop.hpp"

namespace square::env {

// Waits until set. Level-triggered; may be reset.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}
  Event(const Event&) = delete;
  bool is_set() const { return set_; }
  void set();
  void reset() { set_ = false; }
  // Wakes those who wait now and stays unset.
  void pulse();
  auto wait() { return Awaiter{*this}; }

 private:
  struct Awaiter {
    Event& event;
    bool await_ready() const noexcept { return event.set_; }
    void await_suspend(std::coroutine_handle<> h) { event.waiting_.push_back(h); }
    void await_resume() const noexcept {}
  };
  Loop& loop_;
  bool set_ = false;
  std::deque<std::coroutine_handle<>> waiting_;
};

// A budget of units (bytes, requests). First come, first served: a large request is not starved.
class Budget {
 public:
  Budget(Loop& loop, std::uint64_t units) : loop_(loop), free_(units), total_(units) {}
  Budget(const Budget&) = delete;
  // `units` is at most total(). Give back by release().
  auto acquire(std::uint64_t units) { return Awaiter{*this, units}; }
  bool try_acquire(std::uint64_t units);
  void release(std::uint64_t units);
  std::uint64_t used() const { return total_ - free_; }
  std::uint64_t total() const { return total_; }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Awaiter {
    Budget& budget;
    std::uint64_t units;
    bool await_ready() { return budget.try_acquire(units); }
    void await_suspend(std::coroutine_handle<> h) { budget.waiting_.push_back({h, units}); }
    void await_resume() const noexcept {}
  };
  struct Waiting {
    std::coroutine_handle<> handle;
    std::uint64_t units;
  };
  Loop& loop_;
  std::uint64_t free_;
  std::uint64_t total_;
  std::deque<Waiting> waiting_;
};

// auto lock = co_await mutex.lock();  Released when `lock` dies.
class Mutex {
 public:
  explicit Mutex(Loop& loop) : budget_(loop, 1) {}
  class Lock {
   public:
    explicit Lock(Budget& budget) : budget_(&budget) {}
    Lock(Lock&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (budget_ != nullptr) budget_->release(1);
    }

   private:
    Budget* budget_;
  };
  Task<Lock> lock();

 private:
  Budget budget_;
};

// Owns spawned tasks. Every task has one owner that waits for it: join() before the Scope dies.
// Only an ending Loop (a simulated crash) may leave unfinished tasks, and then they are destroyed.
class Scope {
 public:
  explicit Scope(Loop& loop) : loop_(loop), idle_(loop) { idle_.set(); }
  Scope(const Scope&) = delete;
  ~Scope();
  // Starts `task` from the loop. Arguments of the coroutine must be values, or outlive the Scope.
  void spawn(Task<void> task);
  // Resumes when no task is left. New ones may be spawned meanwhile.
  auto join() { return idle_.wait(); }
  std::size_t size() const { return tasks_.size(); }

 private:
  struct Root;
  Root run(Task<void> task, std::list<std::coroutine_handle<>>::iterator self);

  Loop& loop_;
  Event idle_;
  std::list<std::coroutine_handle<>> tasks_;
};

}  // namespace square::env
