#pragma once
// io_uring: one ring per loop. What a turn of the loop gathers is submitted by one system call at
// its end; completions arrive by an eventfd that Asio watches.

#include "env/real/asio_loop.hpp"
#include "env/real/disk_request.hpp"

namespace square::env {

class UringBackend final : public DiskBackend {
 public:
  // `blocking` does what the ring cannot (discards). Errors: kUnsupported (the kernel refuses
  // io_uring, or lacks an operation).
  static Result<std::unique_ptr<UringBackend>> create(AsioLoop& loop, DiskBackend& blocking);
  // Waits a while for what is in flight; what hangs goes into quarantine.
  ~UringBackend() override;

  void submit(std::unique_ptr<DiskRequest> request) override;

 private:
  struct Ring;
  UringBackend(std::unique_ptr<Ring> ring, DiskBackend& blocking);

  std::unique_ptr<Ring> ring_;
  DiskBackend& blocking_;
};

}  // namespace square::env
