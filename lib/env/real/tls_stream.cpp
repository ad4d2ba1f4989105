#include "env/real/tls_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "env/real/asio_loop_impl.hpp"
#include "env/real/system_error.hpp"
#include "env/sync.hpp"

namespace square::env {

namespace {

constexpr std::size_t kRecordBytes = 16u << 10;
constexpr std::size_t kSealedBytesMax = 128u << 10;  // sealed ahead of the socket
constexpr std::size_t kBytesPerTurnMax = 1u << 20;   // then others get a turn
constexpr std::byte kWelcome{1};
constexpr auto kLinger = std::chrono::seconds(1);

Error cancelled() { return Error{Code::kCancelled, "the connection was closed here"}; }

// A flag that is up while a call runs.
class Running {
 public:
  explicit Running(bool& flag, const char* what) : flag_(flag) {
    SQ_CHECK(!flag_, what);
    flag_ = true;
  }
  ~Running() { flag_ = false; }
  Running(const Running&) = delete;

 private:
  bool& flag_;
};

void set_option(int fd, int level, int option, int value) {
  // Advice: a connection without it works.
  [[maybe_unused]] const int result = ::setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

TlsStream::TlsStream(AsioLoop& on, int fd) : loop(on), socket(on.impl().io, fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer that vanished without a word gives its seat back in about a minute.
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

TlsStream::~TlsStream() {
  if (seat) --*seat;
}

Result<TlsStream::Received> TlsStream::receive() {
  if (!std::exchange(maybe_more_, true)) return Received::kNothing;
  const auto space = session->input_space();
  const auto size = ::recv(socket.native_handle(), space.data(), space.size(), 0);
  if (size > 0) {
    session->took_in(static_cast<std::size_t>(size));
    moved_bytes += static_cast<std::size_t>(size);
    maybe_more_ = static_cast<std::size_t>(size) == space.size();
    return Received::kBytes;
  }
  if (size == 0) return Error{Code::kUnavailable, "the peer cut the connection"};
  if (errno == EAGAIN || errno == EINTR) return Received::kNothing;
  return Error{Code::kUnavailable, system_error("receive").message};
}

Result<> TlsStream::send_some() {
  while (!session->output().empty()) {
    const auto bytes = session->output();
    const auto size = ::send(socket.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return {};
    if (size < 0) return Error{Code::kUnavailable, system_error("send").message};
    session->sent(static_cast<std::size_t>(size));
    moved_bytes += static_cast<std::size_t>(size);
  }
  return {};
}

Async<> TlsStream::drain(std::shared_ptr<TlsStream> stream) {
  for (;;) {
    if (stream->closed) co_return cancelled();
    SQ_CO_TRY(stream->send_some());
    if (stream->session->output().empty()) co_return Result<>{};
    stream->moved_bytes = 0;
    co_await stream->ready(For::kWriting);
  }
}

Async<std::size_t> TlsStream::read_some(std::shared_ptr<TlsStream> stream, MutableBytes into) {
  SQ_CHECK(!into.empty());
  const Running running(stream->reading, "two reads of one connection");
  if (stream->moved_bytes > kBytesPerTurnMax) {
    stream->moved_bytes = 0;
    co_await yield(stream->loop);
  }
  for (;;) {
    if (stream->closed) co_return cancelled();
    std::size_t size = 0;
    SQ_CO_TRY(const auto step, stream->session->open(into, size));
    // What TLS has to say by itself. A writer at work sends it along.
    if (!stream->writing) ignore(stream->send_some(), "the next call will say");
    if (step == TlsSession::Step::kDone) co_return size;
    if (step == TlsSession::Step::kEnded) co_return std::size_t{0};
    SQ_CO_TRY(const auto received, stream->receive());
    if (received == Received::kBytes) continue;
    stream->moved_bytes = 0;
    co_await stream->ready(For::kReading);
  }
}

// Seals from the chain's position until enough is sealed. Small pieces share records.
Result<> TlsStream::seal(const BufferChain& chain, std::size_t& index, std::size_t& offset) {
  std::byte gathered[kRecordBytes];
  std::size_t gathered_size = 0;
  while (index < chain.size() && session->output().size() < kSealedBytesMax) {
    const auto rest = chain[index].bytes().subspan(offset);
    if (gathered_size == 0 && rest.size() >= kRecordBytes) {
      const auto whole = std::min(rest.size(), kSealedBytesMax) / kRecordBytes * kRecordBytes;
      SQ_TRY(session->seal(rest.first(whole)));
      offset += whole;
    } else {
      const auto part = std::min(rest.size(), kRecordBytes - gathered_size);
      if (part > 0) std::memcpy(gathered + gathered_size, rest.data(), part);
      gathered_size += part;
      offset += part;
      if (gathered_size == kRecordBytes) {
        SQ_TRY(session->seal(Bytes(gathered, gathered_size)));
        gathered_size = 0;
      }
    }
    if (offset == chain[index].size()) {
      ++index;
      offset = 0;
    }
  }
  return session->seal(Bytes(gathered, gathered_size));
}

Async<> TlsStream::write(std::shared_ptr<TlsStream> stream, BufferChain chain) {
  const Running running(stream->writing, "two writes of one connection");
  std::size_t index = 0, offset = 0;
  if (stream->closed) co_return cancelled();
  while (index < chain.size()) {
    if (stream->moved_bytes > kBytesPerTurnMax) {
      stream->moved_bytes = 0;
      co_await yield(stream->loop);
      if (stream->closed) co_return cancelled();
    }
    SQ_CO_TRY(stream->seal(chain, index, offset));
    SQ_CO_TRY(co_await drain(stream));
  }
  co_return Result<>{};
}

Async<> TlsStream::exchange_hellos(std::shared_ptr<TlsStream> stream, TlsSession::Role role) {
  auto& session = *stream->session;
  for (;;) {
    if (stream->closed) co_return cancelled();
    auto step = session.handshake();
    auto sent = co_await drain(stream);
    if (!step.ok()) co_return std::move(step).error();
    SQ_CO_TRY(std::move(sent));
    if (*step == TlsSession::Step::kDone) break;
    SQ_CO_TRY(const auto received, stream->receive());
    if (received == Received::kNothing) co_await stream->ready(For::kReading);
  }
  if (role == TlsSession::Role::kServer) {
    SQ_CO_TRY(session.seal(Bytes(&kWelcome, 1)));
    SQ_CO_TRY(co_await drain(stream));
    co_return Result<>{};
  }
  std::byte welcome{};
  SQ_CO_TRY(const auto size, co_await read_some(stream, MutableBytes(&welcome, 1)));
  if (size != 1 || welcome != kWelcome)
    co_return Error{Code::kUnavailable, "the peer speaks another transport version"};
  co_return Result<>{};
}

// A refusal reaches the peer only if nothing of its own lies unread here when the socket closes.
Task<void> TlsStream::linger(std::shared_ptr<TlsStream> stream) {
  if (stream->closed) co_return;
  ::shutdown(stream->socket.native_handle(), SHUT_WR);
  const auto timer =
      stream->loop.add_timer(stream->loop.now() + kLinger, [weak = std::weak_ptr(stream)] {
        if (const auto alive = weak.lock()) alive->close();
      });
  std::byte dropped[4096];
  while (!stream->closed) {
    const auto size = ::recv(stream->socket.native_handle(), dropped, sizeof dropped, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) break;
    if (size < 0)
      co_await stream->ready(For::kReading);
    else
      co_await yield(stream->loop);
  }
  stream->loop.cancel_timer(timer);
}

Async<> TlsStream::shake_hands(std::shared_ptr<TlsStream> stream,
                               std::shared_ptr<const TlsContext> context, TlsSession::Role role,
                               BootTime deadline) {
  stream->session = std::make_unique<TlsSession>(std::move(context), role);
  bool late = false;
  const auto timer = stream->loop.add_timer(deadline, [&late, raw = stream.get()] {
    late = true;  // cancelled before this frame ends, so both still stand
    raw->close();
  });
  auto result = co_await exchange_hellos(stream, role);
  stream->loop.cancel_timer(timer);
  if (result.failed_with(Code::kDenied)) co_await linger(stream);
  if (!result.ok()) stream->close();
  if (late && !result.ok())
    co_return Error{Code::kTimeout, "the handshake has taken longer than allowed"};
  co_return std::move(result);
}

void TlsStream::close() {
  if (std::exchange(closed, true)) return;
  if (session) {
    session->seal_end();
    ignore(send_some(), "the connection ends either way");
  }
  boost::system::error_code error;
  socket.close(error);
}

}  // namespace square::env
