#pragma once
// What all real disks share, whatever engine does the I/O: checks, deadlines, sticky failure,
// flushes one at a time, statistics.
//
// Flushes are serialised, and those that wait while one runs share the next. The kernel reports a
// lost write to one fdatasync only: of two that run at once, the other would say ok.

#include <list>
#include <optional>
#include <string>

#include "env/disk.hpp"
#include "env/real/disk_request.hpp"

namespace square::env {

// What the path named when it was opened.
struct DiskIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  bool operator==(const DiskIdentity&) const = default;
};
// Identity of what the path names now. Blocks. Errors: kNotFound, kDenied, kIo.
Result<DiskIdentity> identify_path(const std::string& path);
Result<DiskIdentity> identify_file(int fd);

class RealDisk final : public Disk {
 public:
  // `backend` outlives the disk.
  RealDisk(Loop& loop, DiskBackend& backend, DiskInfo info, std::shared_ptr<DiskFile> file,
           DiskIdentity identity, Duration deadline);
  // No call may be waiting, except on an ending loop. Requests that hang are left to the backend.
  ~RealDisk() override;

  const DiskInfo& info() const override { return info_; }
  const DiskStats& stats() const override;
  Async<> read(std::uint64_t offset, Buffer into) override;
  Async<> write(std::uint64_t offset, BufferChain chain) override;
  Async<> flush() override;
  Async<> discard(std::uint64_t offset, std::uint64_t size) override;
  Async<> check_path() override;
  void fail(std::string why) override;
  bool failed() const override;

 private:
  class State;  // outlives the disk as long as a request ends in it

  DiskInfo info_;
  std::shared_ptr<State> state_;
};

}  // namespace square::env
