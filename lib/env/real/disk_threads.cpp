#include "env/real/disk_threads.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "env/real/asio_loop_impl.hpp"

namespace square::env {

namespace {

constexpr std::uint64_t kAtOnceBytesMax = 256u << 10;
constexpr std::size_t kThreadsPerDisk = 2;
constexpr auto kEndWaitMax = std::chrono::seconds(5);

}  // namespace

// Requests that have ended, on their way to the loop.
struct ThreadBackend::Done : TurnHook, std::enable_shared_from_this<Done> {
  explicit Done(AsioLoop& on) : loop(&on) {}

  bool end_of_turn() override { return true; }
  void poll() override {}  // completions arrive as posts from other threads, which the loop sees
  std::size_t in_flight() const override {
    const std::scoped_lock lock(mutex);
    return running.size();
  }

  void submitted(DiskRequest* request) {
    const std::scoped_lock lock(mutex);
    running.insert(request);
  }
  void started(const DiskRequest& request) {
    const std::scoped_lock lock(mutex);
    held_bytes += total_size(request.buffers);
    if (loop == nullptr) count_quarantined(static_cast<std::int64_t>(total_size(request.buffers)));
  }
  // Only those that hang are left. Loop thread, locked.
  bool all_hang() const {
    return std::all_of(running.begin(), running.end(),
                       [](const DiskRequest* request) { return request->expired; });
  }
  void add(std::unique_ptr<DiskRequest> request) {
    const std::scoped_lock lock(mutex);
    running.erase(request.get());
    held_bytes -= total_size(request->buffers);
    changed.notify_all();
    if (loop == nullptr) {  // nobody is left to tell; its memory is free now
      count_quarantined(-static_cast<std::int64_t>(total_size(request->buffers)));
      return;
    }
    ended.push_back(std::move(request));
    if (ended.size() == 1)
      loop->post_from_any_thread([self = shared_from_this()] { self->deliver(); });
  }
  void deliver() {
    std::vector<std::unique_ptr<DiskRequest>> taken;
    {
      const std::scoped_lock lock(mutex);
      taken.swap(ended);
    }
    for (auto& request : taken) finish_request(std::move(request));
  }

  mutable std::mutex mutex;
  std::condition_variable changed;
  AsioLoop* loop;
  std::unordered_set<DiskRequest*> running;
  std::uint64_t held_bytes = 0;  // of those that a thread has begun
  std::vector<std::unique_ptr<DiskRequest>> ended;
  // Loop thread only: done at once, to be delivered by the next post.
  std::vector<std::unique_ptr<DiskRequest>> ended_here;
};

ThreadBackend::ThreadBackend(AsioLoop& loop, Execute execute)
    : loop_(loop), execute_(std::move(execute)), done_(std::make_shared<Done>(loop)) {
  loop_.impl().add_hook(done_.get());
}

ThreadBackend::~ThreadBackend() {
  loop_.impl().remove_hook(done_.get());
  std::unique_lock lock(done_->mutex);
  done_->changed.wait_for(lock, kEndWaitMax, [this] { return done_->all_hang(); });
  const bool all_ended = done_->running.empty();
  lock.unlock();
  for (auto& [file, threads] : pools_)
    if (!all_ended) threads.pool->abandon();  // nothing starts any more
  lock.lock();
  done_->loop = nullptr;
  count_quarantined(static_cast<std::int64_t>(done_->held_bytes));
}

bool ThreadBackend::done_at_once(const DiskRequest& request) const {
  return request.file->in_memory && request.size <= kAtOnceBytesMax;
}

ThreadPool& ThreadBackend::threads_of(const std::shared_ptr<DiskFile>& file) {
  const auto known = pools_.find(file.get());
  if (known != pools_.end() && !known->second.file.expired()) return *known->second.pool;
  std::erase_if(pools_, [](const auto& each) { return each.second.file.expired(); });
  auto& made = pools_[file.get()];
  made = {file, std::make_unique<ThreadPool>("square-disk", kThreadsPerDisk)};
  return *made.pool;
}

void ThreadBackend::submit(std::unique_ptr<DiskRequest> request) {
  if (done_at_once(*request)) {
    execute_blocking(*request);
    done_->ended_here.push_back(std::move(request));
    if (done_->ended_here.size() > 1) return;
    loop_.post([done = done_] {
      for (auto& ended : std::exchange(done->ended_here, {})) finish_request(std::move(ended));
    });
    return;
  }
  done_->submitted(request.get());
  auto& threads = threads_of(request->file);
  // A job must be copyable, so the request goes in a box. A hung thread never lets go of it.
  auto box = std::make_shared<std::unique_ptr<DiskRequest>>(std::move(request));
  threads.run([done = done_, execute = execute_, box = std::move(box)] {
    done->started(**box);
    execute(**box);
    done->add(std::move(*box));
  });
}

}  // namespace square::env
