#pragma once
// Opens disks of one loop, each with the engine that suits it.

#include <memory>

#include "env/disk.hpp"
#include "env/real/asio_loop.hpp"

namespace square::env {

class RealDisks final : public Disks {
 public:
  explicit RealDisks(AsioLoop& loop);
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
