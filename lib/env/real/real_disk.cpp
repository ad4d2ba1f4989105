#include "env/real/real_disk.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "env/real/system_error.hpp"

namespace square::env {

// One call that waits. In the caller's frame; the request knows it until either side lets go.
struct Waiter {
  DiskRequest* request = nullptr;
  std::coroutine_handle<> handle;
  Result<> result;
  ~Waiter() {
    if (request != nullptr) request->waiter = nullptr;
  }
};

namespace {

constexpr auto kHearing = std::chrono::milliseconds(5);

std::string_view name_of(DiskOp op) {
  switch (op) {
    case DiskOp::kRead: return "read";
    case DiskOp::kWrite: return "write";
    case DiskOp::kFlush: return "flush";
    case DiskOp::kDiscard: return "discard";
  }
  return "request";
}

Result<DiskIdentity> identity_of(const struct stat& st, int fd) {
  DiskIdentity identity;
  if (S_ISBLK(st.st_mode)) {
    identity.device = st.st_rdev;  // a node made again for the same device is the same disk
    if (::ioctl(fd, BLKGETSIZE64, &identity.size) != 0) return system_error("size of the device");
  } else {
    identity.device = st.st_dev;
    identity.inode = st.st_ino;
    identity.size = static_cast<std::uint64_t>(st.st_size);
  }
  return identity;
}

}  // namespace

Result<DiskIdentity> identify_file(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return system_error("stat");
  return identity_of(st, fd);
}

Result<DiskIdentity> identify_path(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return system_error("stat");
  if (!S_ISBLK(st.st_mode)) return identity_of(st, -1);
  const DiskFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return system_error("open");
  return identify_file(file.fd);
}

class RealDisk::State final : public DiskRequestOwner,
                              public std::enable_shared_from_this<RealDisk::State> {
 public:
  State(Loop& loop, DiskBackend& backend, std::string path, std::uint64_t size_bytes,
        std::shared_ptr<DiskFile> file, DiskIdentity identity, Duration deadline)
      : loop_(loop),
        backend_(backend),
        path_(std::move(path)),
        size_bytes_(size_bytes),
        file_(std::move(file)),
        identity_(identity),
        deadline_(deadline) {}

  Async<> transfer(DiskOp op, std::uint64_t offset, std::uint64_t size, BufferChain buffers);
  Async<> check_path();
  void request_done(std::unique_ptr<DiskRequest> request) override;
  void fail(std::string why);
  bool failed() const { return failed_; }
  const DiskStats& stats() const { return stats_; }
  void disk_dies();

 private:
  Result<> usable() const;
  Result<> in_range(DiskOp op, std::uint64_t offset, std::uint64_t size) const;
  void start(std::unique_ptr<DiskRequest> request);
  void start_flush(std::unique_ptr<DiskRequest> request);
  void end_flush(DiskRequest& request);
  void end(DiskRequest& request, Result<> result);
  void watch(DiskRequest& request);
  void arm_timer();
  void expire(BootTime due);
  void count(const DiskRequest& request);
  Result<> outcome(const DiskRequest& request);

  Loop& loop_;
  DiskBackend& backend_;
  const std::string path_;
  const std::uint64_t size_bytes_;
  const std::shared_ptr<DiskFile> file_;
  const DiskIdentity identity_;
  const Duration deadline_;
  DiskStats stats_;
  bool failed_ = false;
  std::string failure_;

  // In the order of their deadlines, for the allowance is the same for all. Pointers to requests
  // that the backend holds, or that wait in flushes_waiting_.
  std::list<DiskRequest*> in_flight_;
  std::optional<Loop::TimerId> timer_;  // at or before the first deadline

  bool flush_runs_ = false;
  std::vector<std::unique_ptr<DiskRequest>> flushes_waiting_;  // for the one that runs to end
  std::vector<std::unique_ptr<DiskRequest>> flushes_sharing_;  // the one that runs is theirs too
};

Result<> RealDisk::State::usable() const {
  if (failed_) return Error{Code::kIo, "disk " + path_ + " has failed: " + failure_};
  return {};
}

Result<> RealDisk::State::in_range(DiskOp op, std::uint64_t offset, std::uint64_t size) const {
  if (offset <= size_bytes_ && size <= size_bytes_ - offset) return {};
  return Error{Code::kIo, std::string(name_of(op)) + " of " + std::to_string(size) + " bytes at " +
                              std::to_string(offset) + " is beyond the end of disk " + path_};
}

Async<> RealDisk::State::transfer(DiskOp op, std::uint64_t offset, std::uint64_t size,
                                  BufferChain buffers) {
  SQ_CO_TRY(usable());
  SQ_CO_TRY(in_range(op, offset, size));
  SQ_CHECK(offset % kBlockBytes == 0 && size % kBlockBytes == 0, "unaligned disk request");
  for (const auto& buffer : buffers)
    SQ_CHECK(buffer.aligned() && buffer.size() % kBlockBytes == 0, "unaligned disk buffer");
  if (size == 0 && op != DiskOp::kFlush) co_return Result<>{};

  auto request = std::make_unique<DiskRequest>();
  request->op = op;
  request->file = file_;
  request->offset = offset;
  request->size = size;
  request->buffers = std::move(buffers);
  request->prepare_pieces();
  request->owner = weak_from_this();

  struct Wait {
    Waiter& waiter;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { waiter.handle = handle; }
    void await_resume() const noexcept {}
  };
  Waiter waiter;
  waiter.request = request.get();
  request->waiter = &waiter;
  watch(*request);
  start(std::move(request));
  Wait wait{waiter};
  co_await wait;
  co_return std::move(waiter.result);
}

void RealDisk::State::start(std::unique_ptr<DiskRequest> request) {
  if (request->op == DiskOp::kFlush)
    start_flush(std::move(request));
  else
    backend_.submit(std::move(request));
}

void RealDisk::State::start_flush(std::unique_ptr<DiskRequest> request) {
  if (flush_runs_) {
    flushes_waiting_.push_back(std::move(request));
    return;
  }
  flush_runs_ = true;
  backend_.submit(std::move(request));
}

// All that share it end as it did; the next one is for all that have waited meanwhile.
void RealDisk::State::end_flush(DiskRequest& request) {
  end(request, outcome(request));
  for (const auto& sharing : std::exchange(flushes_sharing_, {})) {
    sharing->error = request.error;
    end(*sharing, outcome(*sharing));
  }
  flush_runs_ = false;
  if (flushes_waiting_.empty()) return;
  if (failed_) {
    for (const auto& waiting : std::exchange(flushes_waiting_, {})) end(*waiting, usable());
    return;
  }
  flushes_sharing_ = std::exchange(flushes_waiting_, {});
  auto next = std::move(flushes_sharing_.back());
  flushes_sharing_.pop_back();
  start_flush(std::move(next));
}

void RealDisk::State::request_done(std::unique_ptr<DiskRequest> request) {
  if (request->op == DiskOp::kFlush)
    end_flush(*request);
  else
    end(*request, outcome(*request));
}

// Turns the kernel's answer into the caller's, with what it means for the disk.
Result<> RealDisk::State::outcome(const DiskRequest& request) {
  if (request.error == 0) {
    // A flush that ends well on a failed disk proves nothing about the writes before it.
    if (request.op == DiskOp::kFlush) SQ_TRY(usable());
    return {};
  }
  std::string what(name_of(request.op));
  if (request.op != DiskOp::kFlush)
    what += " of " + std::to_string(request.size) + " bytes at " + std::to_string(request.offset);
  what += " on disk " + path_ + ": " + std::strerror(request.error);
  if (request.op == DiskOp::kFlush) fail(what);
  return Error{Code::kIo, std::move(what)};
}

void RealDisk::State::end(DiskRequest& request, Result<> result) {
  if (request.expired)
    stats_.hung_bytes -= total_size(request.buffers);
  else
    in_flight_.erase(request.place);
  if (result.ok()) count(request);
  if (auto* waiter = std::exchange(request.waiter, nullptr)) {
    waiter->request = nullptr;
    waiter->result = std::move(result);
    loop_.post(waiter->handle);
  }
}

void RealDisk::State::count(const DiskRequest& request) {
  switch (request.op) {
    case DiskOp::kRead:
      ++stats_.reads;
      stats_.read_bytes += request.size;
      break;
    case DiskOp::kWrite:
      ++stats_.writes;
      stats_.written_bytes += request.size;
      break;
    case DiskOp::kFlush: ++stats_.flushes; break;
    case DiskOp::kDiscard: ++stats_.discards; break;
  }
}

void RealDisk::State::watch(DiskRequest& request) {
  request.deadline = loop_.now() + deadline_;
  request.place = in_flight_.insert(in_flight_.end(), &request);
  if (!timer_) arm_timer();
}

// In two steps, with turns of the loop between them: after the whole process has stood still, the
// answers that came meanwhile are heard before anybody is found late.
void RealDisk::State::arm_timer() {
  timer_ = loop_.add_timer(in_flight_.front()->deadline, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const auto due = self->loop_.now();
    self->timer_ = self->loop_.add_timer(due + kHearing, [weak, due] {
      if (const auto still = weak.lock()) still->expire(due);
    });
  });
}

// The callers of what is overdue go on; its memory stays with the request.
void RealDisk::State::expire(BootTime due) {
  timer_.reset();
  while (!in_flight_.empty() && in_flight_.front()->deadline <= due) {
    auto& request = *in_flight_.front();
    in_flight_.pop_front();
    request.expired = true;
    stats_.hung_bytes += total_size(request.buffers);
    auto why = std::string(name_of(request.op)) + " on disk " + path_ +
               " has not been answered in " +
               std::to_string(deadline_ / std::chrono::milliseconds(1)) + " ms";
    fail(why);
    if (auto* waiter = std::exchange(request.waiter, nullptr)) {
      waiter->request = nullptr;
      waiter->result = Error{Code::kTimeout, std::move(why)};
      loop_.post(waiter->handle);
    }
  }
  if (!in_flight_.empty()) arm_timer();
}

void RealDisk::State::fail(std::string why) {
  if (failed_) return;
  failed_ = true;
  failure_ = std::move(why);
}

void RealDisk::State::disk_dies() {
  if (timer_) loop_.cancel_timer(*timer_);
  for (auto* request : in_flight_) {
    SQ_CHECK(request->waiter == nullptr || loop_.ending(), "a disk died before its requests");
    if (request->waiter != nullptr) request->waiter->request = nullptr;
    request->waiter = nullptr;
  }
}

Async<> RealDisk::State::check_path() {
  SQ_CO_TRY(usable());
  const auto now_named =
      co_await offload(loop_, [path = path_] { return std::optional(identify_path(path)); });
  if (!now_named->ok())
    co_return Error{Code::kIo, "disk " + path_ + " is gone: " + now_named->error().message};
  if (**now_named != identity_)
    co_return Error{Code::kIo, "disk " + path_ + " has been replaced or has changed its size"};
  co_return Result<>{};
}

RealDisk::RealDisk(Loop& loop, DiskBackend& backend, DiskInfo info, std::shared_ptr<DiskFile> file,
                   DiskIdentity identity, Duration deadline)
    : info_(std::move(info)),
      state_(std::make_shared<State>(loop, backend, info_.path, info_.size_bytes, std::move(file),
                                     identity, deadline)) {}

RealDisk::~RealDisk() { state_->disk_dies(); }

const DiskStats& RealDisk::stats() const { return state_->stats(); }

Async<> RealDisk::read(std::uint64_t offset, Buffer into) {
  const auto size = into.size();
  return state_->transfer(DiskOp::kRead, offset, size, {std::move(into)});
}

Async<> RealDisk::write(std::uint64_t offset, BufferChain chain) {
  const auto size = total_size(chain);
  return state_->transfer(DiskOp::kWrite, offset, size, std::move(chain));
}

Async<> RealDisk::flush() { return state_->transfer(DiskOp::kFlush, 0, 0, {}); }

Async<> RealDisk::discard(std::uint64_t offset, std::uint64_t size) {
  return state_->transfer(DiskOp::kDiscard, offset, size, {});
}

Async<> RealDisk::check_path() { return state_->check_path(); }

void RealDisk::fail(std::string why) { state_->fail(std::move(why)); }

bool RealDisk::failed() const { return state_->failed(); }

}  // namespace square::env
