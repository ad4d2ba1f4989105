#pragma once
// Opens disks of one loop, each with the engine that suits it.

#include <memory>

#include "env/disk.hpp"
#include "env/real/asio_loop.hpp"

namespace square::env {

class RealDisks final : public Disks {
 public:
  // `lock_patience`: how long the opening of disks that another process has locked goes on, all of
  // them together. A process that was killed holds its locks until the kernel has ended its I/O,
  // which may be after it is gone.
  explicit RealDisks(AsioLoop& loop, Duration lock_patience = {});
  // After all its disks. Waits a while for requests that nobody waits for any more; those that
  // hang keep their memory (quarantined_bytes()).
  ~RealDisks() override;

  // kUring where the kernel refuses io_uring: kUnsupported. kAuto takes threads then.
  Async<std::unique_ptr<Disk>> open(std::string path, DiskOptions options) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::env
