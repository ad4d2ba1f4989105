#pragma once
// Between a disk and the engine that does its I/O.

#include <sys/uio.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "env/loop.hpp"

namespace square::env {

// An open device or file. Shared with every request on it, so that it closes (and gives up its
// lock) only when the kernel has answered all of them.
struct DiskFile {
  explicit DiskFile(int fd_) : fd(fd_) {}
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;

  const int fd;
  bool block_device = false;
  bool in_memory = false;  // tmpfs: I/O is a copy
};

enum class DiskOp : std::uint8_t { kRead, kWrite, kFlush, kDiscard };

struct DiskRequest;

// Where a request ends. Called on the loop, once.
class DiskRequestOwner {
 public:
  virtual void request_done(std::unique_ptr<DiskRequest> request) = 0;

 protected:
  ~DiskRequestOwner() = default;
};

struct DiskRequest {
  DiskOp op = DiskOp::kFlush;
  std::shared_ptr<DiskFile> file;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  BufferChain buffers;  // held until the kernel has answered
  int error = 0;        // errno, once done

  std::weak_ptr<DiskRequestOwner> owner;  // expired: the disk is gone, nobody waits

  // What is left to transfer. A transfer may be cut short without being at its end, so it goes on
  // from where it stopped; one that makes no progress is an error.
  std::vector<iovec> pieces;
  std::size_t piece = 0;
  std::uint64_t moved = 0;

  void prepare_pieces();
  std::uint64_t left() const { return size - moved; }
  std::uint64_t position() const { return offset + moved; }
  iovec* next_pieces() { return pieces.data() + piece; }
  unsigned next_piece_count() const;
  // Takes the kernel's answer to one call (bytes, or minus errno). True: the request has ended.
  bool answered(long result);

  // For the deadline: when it is due, and what waits. Kept by the disk.
  BootTime deadline;
  bool expired = false;
  std::list<DiskRequest*>::iterator place;  // among those in flight, unless expired
  struct Waiter* waiter = nullptr;
};

// Does the request's calls on this thread, blocking, until it has ended.
void execute_blocking(DiskRequest& request);
// Ends the request at its owner, if that still lives. Loop thread.
void finish_request(std::unique_ptr<DiskRequest> request);
// Keeps, for the rest of the process, the memory into which a hung device may still write.
void quarantine(std::unique_ptr<DiskRequest> request);
// The same count, for memory that a hung thread keeps.
void count_quarantined(std::int64_t bytes);
// Bytes in quarantine, over all disks that are gone.
std::uint64_t quarantined_bytes();

class DiskBackend {
 public:
  virtual ~DiskBackend() = default;
  // Takes the request, and gives it to finish_request() from the loop when the kernel has
  // answered. Never before this call has returned.
  virtual void submit(std::unique_ptr<DiskRequest> request) = 0;
};

}  // namespace square::env
