#include "env/real/disk_request.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

namespace square::env {

namespace {

constexpr std::size_t kPiecesPerCallMax = 1024;  // IOV_MAX

long call_once(DiskRequest& request) {
  const int fd = request.file->fd;
  const auto position = static_cast<off_t>(request.position());
  const auto count = static_cast<int>(request.next_piece_count());
  long result = 0;
  switch (request.op) {
    case DiskOp::kRead: result = ::preadv(fd, request.next_pieces(), count, position); break;
    case DiskOp::kWrite: result = ::pwritev(fd, request.next_pieces(), count, position); break;
    case DiskOp::kFlush: result = ::fdatasync(fd); break;
    case DiskOp::kDiscard:
      if (request.file->block_device) {
        std::uint64_t range[2] = {request.offset, request.size};
        result = ::ioctl(fd, BLKDISCARD, &range);
      } else {
        result = ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, position,
                             static_cast<off_t>(request.size));
      }
      break;
  }
  return result < 0 ? -errno : result;
}

struct Quarantine {
  std::mutex mutex;
  std::vector<std::unique_ptr<DiskRequest>> requests;
  std::uint64_t bytes = 0;
};

// Lives as long as the process, for that is how long a hung device may write.
Quarantine& the_quarantine() {
  static auto* instance = new Quarantine;
  return *instance;
}

}  // namespace

DiskFile::~DiskFile() { ::close(fd); }

void DiskRequest::prepare_pieces() {
  pieces.clear();
  for (auto& buffer : buffers)
    if (!buffer.empty()) pieces.push_back({buffer.data(), buffer.size()});
}

unsigned DiskRequest::next_piece_count() const {
  return static_cast<unsigned>(std::min(pieces.size() - piece, kPiecesPerCallMax));
}

bool DiskRequest::answered(long result) {
  if (result == -EINTR || result == -EAGAIN) return false;
  if (op == DiskOp::kDiscard && (result == -EOPNOTSUPP || result == -ENOTTY)) return true;
  if (result < 0) {
    error = static_cast<int>(-result);
    return true;
  }
  if (op == DiskOp::kFlush || op == DiskOp::kDiscard) return true;
  if (result == 0 || result % kBlockBytes != 0) {
    error = EIO;  // the end, or a transfer that an aligned disk cannot have cut so
    return true;
  }
  moved += static_cast<std::uint64_t>(result);
  for (auto bytes = static_cast<std::size_t>(result); bytes > 0;) {
    auto& front = pieces[piece];
    const auto part = std::min(bytes, front.iov_len);
    front.iov_base = static_cast<std::byte*>(front.iov_base) + part;
    front.iov_len -= part;
    bytes -= part;
    if (front.iov_len == 0) ++piece;
  }
  return left() == 0;
}

void execute_blocking(DiskRequest& request) {
  while (!request.answered(call_once(request))) {
  }
}

void finish_request(std::unique_ptr<DiskRequest> request) {
  if (const auto owner = request->owner.lock()) owner->request_done(std::move(request));
}

void quarantine(std::unique_ptr<DiskRequest> request) {
  auto& kept = the_quarantine();
  const std::scoped_lock lock(kept.mutex);
  kept.bytes += total_size(request->buffers);
  kept.requests.push_back(std::move(request));
}

void count_quarantined(std::int64_t bytes) {
  auto& kept = the_quarantine();
  const std::scoped_lock lock(kept.mutex);
  kept.bytes += static_cast<std::uint64_t>(bytes);
}

std::uint64_t quarantined_bytes() {
  auto& kept = the_quarantine();
  const std::scoped_lock lock(kept.mutex);
  return kept.bytes;
}

}  // namespace square::env
