#pragma once
// A few threads for what blocks. Jobs start in the order of the calls.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace square::env {

class ThreadPool {
 public:
  using Job = std::function<void()>;

  // `name` (at most 15 characters) is what `top -H` shows. Threads start with the first job.
  ThreadPool(std::string name, std::size_t threads);
  // Drops jobs that have not started and waits for those that run.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  // Any thread. A job owns all that it touches.
  void run(Job job);
  // Drops jobs that have not started, and never waits again: threads that hang in the kernel are
  // left behind, and end when their job does. Nothing may be run afterwards.
  void abandon();

 private:
  struct State;
  void start();

  std::string name_;
  std::size_t threads_wanted_;
  std::shared_ptr<State> state_;  // shared with the threads: they may outlive the pool
  std::vector<std::thread> threads_;
};

}  // namespace square::env
