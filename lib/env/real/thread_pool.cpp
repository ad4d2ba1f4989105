#include "env/real/thread_pool.hpp"

#include <pthread.h>
#include <signal.h>

namespace square::env {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  bool stopping = false;

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (stopping) return;
      auto job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      job();
      job = {};
      lock.lock();
    }
  }

  void stop() {
    std::deque<Job> dropped;  // destroyed without the lock: a job may own anything
    const std::scoped_lock lock(mutex);
    stopping = true;
    dropped.swap(jobs);
    changed.notify_all();
  }
};

ThreadPool::ThreadPool(std::string name, std::size_t threads)
    : name_(std::move(name)), threads_wanted_(threads), state_(std::make_shared<State>()) {}

ThreadPool::~ThreadPool() {
  state_->stop();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::abandon() {
  state_->stop();
  for (auto& thread : threads_) thread.detach();
  threads_.clear();
}

void ThreadPool::start() {
  // Signals belong to the loop's thread; a new thread inherits the mask of its maker.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::size_t i = 0; i < threads_wanted_; ++i) {
    threads_.emplace_back([state = state_] { state->work(); });
    pthread_setname_np(threads_.back().native_handle(), name_.c_str());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void ThreadPool::run(Job job) {
  const std::scoped_lock lock(state_->mutex);
  if (state_->stopping) return;
  if (threads_.empty()) start();
  state_->jobs.push_back(std::move(job));
  state_->changed.notify_one();
}

}  // namespace square::env
