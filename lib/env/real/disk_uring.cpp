#include "env/real/disk_uring.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "env/real/asio_loop_impl.hpp"
#include "env/real/system_error.hpp"

namespace square::env {

namespace {

constexpr unsigned kSubmissionEntries = 256;
constexpr unsigned kCompletionEntries = 4096;
constexpr auto kEndWaitMax = std::chrono::seconds(5);

}  // namespace

struct UringBackend::Ring final : TurnHook {
  explicit Ring(AsioLoop& on) : loop(on), event(on.impl().io) {}
  ~Ring() override;

  Result<> open();
  void wait_event();
  bool end_of_turn() override;
  void poll() override { reap(); }
  std::size_t in_flight() const override { return held.size(); }
  bool enqueue(DiskRequest& request);
  void reap();
  void completed(DiskRequest* request, int result);

  AsioLoop& loop;
  io_uring ring{};
  bool opened = false;
  boost::asio::posix::stream_descriptor event;
  std::deque<DiskRequest*> waiting;       // for a free submission entry
  std::unordered_set<DiskRequest*> held;  // all that the kernel or `waiting` has; owned
};

Result<> UringBackend::Ring::open() {
  io_uring_params params{};
  params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = kCompletionEntries;
  if (const int result = io_uring_queue_init_params(kSubmissionEntries, &ring, &params); result < 0)
    return Error{Code::kUnsupported, system_error("io_uring_setup", -result).message};
  opened = true;
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return system_error("eventfd");
  event.assign(fd);
  if (const int result = io_uring_register_eventfd(&ring, fd); result < 0)
    return Error{Code::kUnsupported, system_error("io_uring eventfd", -result).message};
  loop.impl().add_hook(this);
  wait_event();
  return {};
}

UringBackend::Ring::~Ring() {
  if (!opened) return;
  loop.impl().remove_hook(this);
  const auto until = loop.now() + kEndWaitMax;
  const auto hopeful = [](const DiskRequest* request) { return !request->expired; };
  while (std::any_of(held.begin(), held.end(), hopeful) && loop.now() < until) {
    end_of_turn();
    pollfd completion{event.native_handle(), POLLIN, 0};
    ::poll(&completion, 1, 10);
    reap();
  }
  for (auto* request : held) quarantine(std::unique_ptr<DiskRequest>(request));
  io_uring_queue_exit(&ring);
}

void UringBackend::Ring::wait_event() {
  event.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [this](const boost::system::error_code& error) {
                     if (error) return;
                     std::uint64_t count = 0;
                     [[maybe_unused]] auto size = ::read(event.native_handle(), &count, 8);
                     reap();
                     wait_event();
                   });
}

bool UringBackend::Ring::enqueue(DiskRequest& request) {
  auto* sqe = io_uring_get_sqe(&ring);
  if (sqe == nullptr) return false;
  const int fd = request.file->fd;
  switch (request.op) {
    case DiskOp::kRead:
      io_uring_prep_readv(sqe, fd, request.next_pieces(), request.next_piece_count(),
                          request.position());
      break;
    case DiskOp::kWrite:
      io_uring_prep_writev(sqe, fd, request.next_pieces(), request.next_piece_count(),
                           request.position());
      break;
    case DiskOp::kFlush: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); break;
    case DiskOp::kDiscard: SQ_CHECK(false, "discards do not go to the ring");
  }
  io_uring_sqe_set_data(sqe, &request);
  return true;
}

bool UringBackend::Ring::end_of_turn() {
  while (!waiting.empty() || io_uring_sq_ready(&ring) > 0) {
    while (!waiting.empty() && enqueue(*waiting.front())) waiting.pop_front();
    const int submitted = io_uring_submit(&ring);
    if (submitted == -EINTR) continue;
    // Out of kernel memory, or too much completed and not taken: take it, and come again.
    if (submitted == -EAGAIN || submitted == -EBUSY || submitted == -ENOMEM) return false;
    SQ_CHECK(submitted >= 0, "io_uring_submit failed");
    if (submitted == 0) return false;
  }
  return true;
}

void UringBackend::Ring::reap() {
  io_uring_cqe* cqes[64];
  while (const auto count = io_uring_peek_batch_cqe(&ring, cqes, 64)) {
    for (unsigned i = 0; i < count; ++i)
      completed(static_cast<DiskRequest*>(io_uring_cqe_get_data(cqes[i])), cqes[i]->res);
    io_uring_cq_advance(&ring, count);
  }
}

void UringBackend::Ring::completed(DiskRequest* request, int result) {
  if (!request->answered(result)) {
    // One that nobody waits for any more is not worth another try.
    if (!request->expired) return waiting.push_back(request);
    request->error = EIO;
  }
  held.erase(request);
  finish_request(std::unique_ptr<DiskRequest>(request));
}

Result<std::unique_ptr<UringBackend>> UringBackend::create(AsioLoop& loop, DiskBackend& blocking) {
  auto ring = std::make_unique<Ring>(loop);
  SQ_TRY(ring->open());
  return std::unique_ptr<UringBackend>(new UringBackend(std::move(ring), blocking));
}

UringBackend::UringBackend(std::unique_ptr<Ring> ring, DiskBackend& blocking)
    : ring_(std::move(ring)), blocking_(blocking) {}

UringBackend::~UringBackend() = default;

void UringBackend::submit(std::unique_ptr<DiskRequest> request) {
  if (request->op == DiskOp::kDiscard) return blocking_.submit(std::move(request));
  ring_->held.insert(request.get());
  ring_->waiting.push_back(request.release());
}

}  // namespace square::env
