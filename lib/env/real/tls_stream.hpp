#pragma once
// One TCP connection with TLS on it. For lib/env/real/*.cpp only.

#include <boost/asio/posix/stream_descriptor.hpp>

#include "env/real/asio_loop.hpp"
#include "env/real/tls.hpp"

namespace square::env {

// Shared by all that works on the connection: a coroutine that was woken by close() finds it alive.
// Every function that waits takes it by value.
struct TlsStream {
  using Descriptor = boost::asio::posix::stream_descriptor;
  enum class For : std::uint8_t { kReading, kWriting };

  // Takes a connected (or connecting) non-blocking socket.
  TlsStream(AsioLoop& loop, int fd);
  ~TlsStream();

  // Resumes when the socket may be ready, and when it was closed here.
  static auto ready(AsioLoop& loop, Descriptor& socket, For what);
  auto ready(For what);

  // Both ends know each other afterwards. Errors: kDenied, kUnavailable, kTimeout.
  static Async<> shake_hands(std::shared_ptr<TlsStream> stream,
                             std::shared_ptr<const TlsContext> context, TlsSession::Role role,
                             BootTime deadline);
  static Async<std::size_t> read_some(std::shared_ptr<TlsStream> stream, MutableBytes into);
  static Async<> write(std::shared_ptr<TlsStream> stream, BufferChain chain);
  // Sends what is sealed.
  static Async<> drain(std::shared_ptr<TlsStream> stream);
  void close();

  AsioLoop& loop;
  Descriptor socket;
  std::unique_ptr<TlsSession> session;
  bool closed = false;
  bool reading = false, writing = false;
  std::size_t moved_bytes = 0;        // since the loop had its last turn
  std::shared_ptr<std::size_t> seat;  // counts accepted connections

 private:
  enum class Received : std::uint8_t { kBytes, kNothing };
  Result<Received> receive();
  Result<> send_some();
  Result<> seal(const BufferChain& chain, std::size_t& index, std::size_t& offset);
  static Async<> exchange_hellos(std::shared_ptr<TlsStream> stream, TlsSession::Role role);
  static Task<void> linger(std::shared_ptr<TlsStream> stream);

  bool maybe_more_ = true;  // the last receive filled its space: ask again before waiting
};

struct SocketReady {
  TlsStream::Descriptor& socket;
  AsioLoop& loop;
  TlsStream::For what;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    const auto type = what == TlsStream::For::kReading ? TlsStream::Descriptor::wait_read
                                                       : TlsStream::Descriptor::wait_write;
    auto& on = loop;
    socket.async_wait(type, [&on, handle](const boost::system::error_code&) { on.post(handle); });
  }
  void await_resume() const noexcept {}
};

inline auto TlsStream::ready(AsioLoop& loop, Descriptor& socket, For what) {
  return SocketReady{socket, loop, what};
}
inline auto TlsStream::ready(For what) { return ready(loop, socket, what); }

}  // namespace square::env
