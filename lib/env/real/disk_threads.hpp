#pragma once
// pread, pwrite and fdatasync on a few threads. On tmpfs all but large requests are done on the
// loop, at once: they are copies of some ten microseconds, and two wake-ups of threads cost more.

#include "env/real/asio_loop.hpp"
#include "env/real/disk_request.hpp"
#include "env/real/thread_pool.hpp"

namespace square::env {

class ThreadBackend final : public DiskBackend {
 public:
  explicit ThreadBackend(AsioLoop& loop, std::size_t threads = 8);
  // Waits a while for what is in flight. What hangs keeps its thread and its memory.
  ~ThreadBackend() override;

  void submit(std::unique_ptr<DiskRequest> request) override;

 private:
  struct Done;  // shared with the threads: they may outlive the backend

  bool done_at_once(const DiskRequest& request) const;

  AsioLoop& loop_;
  std::shared_ptr<Done> done_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace square::env
