#pragma once
// pread, pwrite and fdatasync on two threads for each disk: a disk that hangs keeps its own threads
// and nobody else's. On tmpfs all but large requests are done on the loop, at once: they are copies
// of some ten microseconds, and two wake-ups of threads cost more.

#include <functional>
#include <map>

#include "env/real/asio_loop.hpp"
#include "env/real/disk_request.hpp"
#include "env/real/thread_pool.hpp"

namespace square::env {

class ThreadBackend final : public DiskBackend {
 public:
  // `execute`: what a thread does with a request.
  using Execute = std::function<void(DiskRequest&)>;
  explicit ThreadBackend(AsioLoop& loop, Execute execute = execute_blocking);
  // Waits a while for what is in flight. What hangs keeps its thread and its memory.
  ~ThreadBackend() override;

  void submit(std::unique_ptr<DiskRequest> request) override;

 private:
  struct Done;  // shared with the threads: they may outlive the backend

  bool done_at_once(const DiskRequest& request) const;
  ThreadPool& threads_of(const std::shared_ptr<DiskFile>& file);

  AsioLoop& loop_;
  Execute execute_;
  std::shared_ptr<Done> done_;
  // A request holds its file, so a pool with work is never dropped and its key never taken again.
  struct FileThreads {
    std::weak_ptr<DiskFile> file;
    std::unique_ptr<ThreadPool> pool;
  };
  std::map<const DiskFile*, FileThreads> pools_;
};

}  // namespace square::env
