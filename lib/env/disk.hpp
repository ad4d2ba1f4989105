#pragma once
// One disk: a block device or a file. All offsets and sizes are multiples of 4 KiB, all buffers
// 4 KiB-aligned. Any number of requests may be in flight; they may complete in any order, and two
// overlapping ones in flight have no defined order.
//
// What is durable: a write only once a flush that was *started after the write completed* has
// completed ok. A flush error fails the disk for good: nothing since its last good flush can be
// trusted, and no later call may make it look healthy again.
//
// A request holds its Buffers until the device has answered, however long that takes; the caller's
// wait ends at the request's deadline with kTimeout, and the disk is then failed (every later call
// gives kIo). So no hung device can write into memory that somebody else uses.

#include <memory>
#include <string>

#include "base/buffer.hpp"
#include "env/loop.hpp"

namespace square::env {

struct DiskInfo {
  std::string path;
  std::uint64_t size_bytes = 0;
  bool discards = false;  // discard() gives space back
};

struct DiskStats {
  std::uint64_t reads = 0, writes = 0, flushes = 0, discards = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0;
  std::uint64_t hung_bytes = 0;  // held by requests whose deadline has passed
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual const DiskInfo& info() const = 0;
  virtual const DiskStats& stats() const = 0;

  // Fills `into`. Errors: kIo, kTimeout. A short read is kIo.
  virtual Async<> read(std::uint64_t offset, Buffer into) = 0;
  // The chain's sizes sum to a multiple of 4 KiB, and so is each of them. Errors: kIo, kTimeout.
  virtual Async<> write(std::uint64_t offset, BufferChain chain) = 0;
  // Errors: kIo, kTimeout; sticky.
  virtual Async<> flush() = 0;
  // The range may read as anything afterwards. Advice: a device that cannot do it says ok.
  virtual Async<> discard(std::uint64_t offset, std::uint64_t size) = 0;
  // The path still names the device or file that was opened (device, inode, size). Errors: kIo.
  virtual Async<> check_path() = 0;
  // Every later request gives kIo. What is in flight ends by itself.
  virtual void fail(std::string why) = 0;
  virtual bool failed() const = 0;
};

enum class DiskEngine : std::uint8_t { kAuto, kUring, kThreads };

struct DiskOptions {
  DiskEngine engine = DiskEngine::kAuto;  // kAuto: threads on tmpfs, io_uring elsewhere
  Duration deadline = std::chrono::seconds(30);
};

class Disks {
 public:
  virtual ~Disks() = default;
  // Takes an exclusive advisory lock. Errors: kNotFound, kDenied, kBusy (another process has it),
  // kInvalid (neither a block device nor a regular file, or its size is not usable), kIo.
  virtual Async<std::unique_ptr<Disk>> open(std::string path, DiskOptions options) = 0;
};

}  // namespace square::env
