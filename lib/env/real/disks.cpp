#include "env/real/disks.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "env/real/disk_threads.hpp"
#include "env/real/disk_uring.hpp"
#include "env/real/real_disk.hpp"
#include "env/real/system_error.hpp"

namespace square::env {

namespace {

constexpr auto kLockNap = std::chrono::milliseconds(20);

struct Opened {
  DiskInfo info;
  std::shared_ptr<DiskFile> file;
  DiskIdentity identity;
};

Result<> lock(int fd) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &whole) == 0) return {};
  if (errno == EAGAIN || errno == EACCES)
    return Error{Code::kBusy, "another process has it locked; stop that one first"};
  return system_error("lock");
}

bool device_discards(const struct stat& st) {
  std::ifstream limit("/sys/dev/block/" + std::to_string(major(st.st_rdev)) + ":" +
                      std::to_string(minor(st.st_rdev)) + "/queue/discard_max_bytes");
  std::uint64_t bytes = 0;
  return (limit >> bytes) && bytes > 0;
}

// O_NONBLOCK: opening a FIFO by mistake must not wait for its other end.
Result<std::shared_ptr<DiskFile>> open_file(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return system_error("stat");
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
    return Error{Code::kInvalid, "neither a block device nor a regular file"};
  int fd = ::open(path.c_str(), kFlags | O_DIRECT);
  const bool no_direct = fd < 0 && errno == EINVAL;
  if (no_direct) fd = ::open(path.c_str(), kFlags);
  if (fd < 0) return system_error("open");
  auto file = std::make_shared<DiskFile>(fd);
  // From here on it blocks: io_uring would answer "try again" to whatever cannot be done at once.
  if (::fcntl(fd, F_SETFL, no_direct ? 0 : O_DIRECT) != 0) return system_error("open");

  struct statfs fs{};
  if (::fstat(fd, &st) != 0 || ::fstatfs(fd, &fs) != 0) return system_error("stat");
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
    return Error{Code::kInvalid, "neither a block device nor a regular file"};
  file->block_device = S_ISBLK(st.st_mode);
  file->in_memory = !file->block_device && fs.f_type == TMPFS_MAGIC;
  if (no_direct && !file->in_memory)
    return Error{Code::kInvalid, "its file system has no O_DIRECT; use ext4 or xfs, or a device"};
  return file;
}

Result<Opened> open_blocking(const std::string& path) {
  Opened opened;
  SQ_TRY(opened.file, open_file(path));
  SQ_TRY(lock(opened.file->fd));
  SQ_TRY(opened.identity, identify_file(opened.file->fd));
  opened.info.path = path;
  opened.info.size_bytes = opened.identity.size;
  if (opened.info.size_bytes == 0 || opened.info.size_bytes % kBlockBytes != 0)
    return Error{Code::kInvalid, "its size of " + std::to_string(opened.info.size_bytes) +
                                     " bytes is not a multiple of 4096 above 0; "
                                     "`truncate -s SIZE` sets the size of a file"};
  struct stat st{};
  if (::fstat(opened.file->fd, &st) != 0) return system_error("stat");
  opened.info.discards = !opened.file->block_device || device_discards(st);
  return opened;
}

}  // namespace

struct RealDisks::Impl {
  Impl(AsioLoop& on, Duration patience) : loop(on), lock_patience(patience), threads(on) {}

  // All disks together: the first that is locked starts the wait.
  bool lock_may_come_free() {
    if (!lock_deadline) lock_deadline = loop.now() + lock_patience;
    return loop.now() < *lock_deadline;
  }

  Result<DiskBackend*> backend_for(DiskEngine engine, const DiskFile& file) {
    if (engine == DiskEngine::kThreads) return &threads;
    if (engine == DiskEngine::kAuto && (file.in_memory || uring_refused)) return &threads;
    if (uring != nullptr) return uring.get();
    auto created = UringBackend::create(loop, threads);
    if (created.ok()) {
      uring = std::move(created).value();
      return uring.get();
    }
    if (engine == DiskEngine::kUring) return std::move(created).error();
    uring_refused = true;
    return &threads;
  }

  AsioLoop& loop;
  Duration lock_patience;
  std::optional<BootTime> lock_deadline;
  ThreadBackend threads;
  std::unique_ptr<UringBackend> uring;
  bool uring_refused = false;
};

RealDisks::RealDisks(AsioLoop& loop, Duration lock_patience)
    : impl_(std::make_unique<Impl>(loop, lock_patience)) {}

RealDisks::~RealDisks() = default;

Async<std::unique_ptr<Disk>> RealDisks::open(std::string path, DiskOptions options) {
  const auto open_it = [path] { return std::optional(open_blocking(path)); };
  auto tried = co_await offload(impl_->loop, open_it);
  while (tried->failed_with(Code::kBusy) && impl_->lock_may_come_free()) {
    co_await sleep_until(impl_->loop, impl_->loop.now() + kLockNap);
    tried = co_await offload(impl_->loop, open_it);
  }
  const auto phrase = "open disk " + path;
  SQ_CO_TRY(auto opened, std::move(*tried).context(phrase));
  auto backend = impl_->backend_for(options.engine, *opened.file);
  SQ_CO_TRY(auto* engine, std::move(backend).context(phrase));
  co_return std::unique_ptr<Disk>(
      std::make_unique<RealDisk>(impl_->loop, *engine, std::move(opened.info),
                                 std::move(opened.file), opened.identity, options.deadline));
}

}  // namespace square::env
