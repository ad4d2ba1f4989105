#include "env/real/tcp_transport.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <list>

#include "env/real/asio_loop_impl.hpp"
#include "env/real/socket_address.hpp"
#include "env/real/system_error.hpp"
#include "env/real/tls_stream.hpp"
#include "env/sync.hpp"

namespace square::env {

namespace {

constexpr std::size_t kPemBytesMax = 1u << 20;
constexpr auto kOutOfResourcesPause = std::chrono::milliseconds(50);

class TcpConnection final : public Connection {
 public:
  explicit TcpConnection(std::shared_ptr<TlsStream> stream) : stream_(std::move(stream)) {}
  ~TcpConnection() override { stream_->close(); }
  const PeerIdentity& peer() const override { return stream_->session->peer(); }
  Async<std::size_t> read_some(MutableBytes into) override {
    return TlsStream::read_some(stream_, into);
  }
  Async<> write(BufferChain chain) override { return TlsStream::write(stream_, std::move(chain)); }
  void close() override { stream_->close(); }

 private:
  std::shared_ptr<TlsStream> stream_;
};

// What the tasks of a listener and its owner share.
struct ListenerState {
  ListenerState(AsioLoop& loop, int fd) : acceptor(loop.impl().io, fd), changed(loop) {}

  void close() {
    if (std::exchange(closed, true)) return;
    boost::system::error_code error;
    acceptor.close(error);
    arrived.clear();
    changed.set();
  }

  std::string address;
  TlsStream::Descriptor acceptor;
  bool closed = false;
  std::deque<std::shared_ptr<TlsStream>> arrived;  // through the handshake, not yet accepted
  Event changed;
};

Async<std::unique_ptr<Connection>> accept_from(std::shared_ptr<ListenerState> state) {
  while (!state->closed && state->arrived.empty()) co_await state->changed.wait();
  if (state->closed) co_return Error{Code::kCancelled, "the listener was closed here"};
  auto stream = std::move(state->arrived.front());
  state->arrived.pop_front();
  co_return std::unique_ptr<Connection>(std::make_unique<TcpConnection>(std::move(stream)));
}

class TcpListener final : public Listener {
 public:
  explicit TcpListener(std::shared_ptr<ListenerState> state) : state_(std::move(state)) {}
  ~TcpListener() override { state_->close(); }
  std::string address() const override { return state_->address; }
  Async<std::unique_ptr<Connection>> accept() override { return accept_from(state_); }
  void close() override { state_->close(); }

 private:
  std::shared_ptr<ListenerState> state_;
};

Result<std::string> read_pem(Files& files, const std::string& path) {
  SQ_TRY(const auto bytes, files.read(path, kPemBytesMax));
  return std::string(as_text(bytes));
}

Result<std::shared_ptr<const TlsContext>> load(Files& files, const TlsConfig& config) {
  TlsPems pems;
  SQ_TRY(pems.authorities, read_pem(files, config.authority_path));
  SQ_TRY(pems.certificate, read_pem(files, config.certificate_path));
  SQ_TRY(pems.key, read_pem(files, config.key_path));
  return TlsContext::create(pems, config.cell)
      .context("certificates " + config.authority_path + ", " + config.certificate_path + ", " +
               config.key_path);
}

// Errors: those of Transport::listen().
Result<int> open_listener(const SocketAddress& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("socket");
  const int yes = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      ::bind(fd, address.get(), address.size) == 0 && ::listen(fd, 1024) == 0)
    return fd;
  auto error = system_error("bind");
  ::close(fd);
  return error;
}

}  // namespace

struct TcpTransport::Core {
  Core(AsioLoop& on, Files& files_, TlsConfig config_, TcpTransportOptions options_)
      : loop(on),
        files(files_),
        config(std::move(config_)),
        options(std::move(options_)),
        tasks(on) {}

  Task<void> accept_loop(std::shared_ptr<ListenerState> listener);
  void admit(const std::shared_ptr<ListenerState>& listener, int fd, const std::string& from);
  Task<void> greet(std::shared_ptr<ListenerState> listener, std::shared_ptr<TlsStream> stream,
                   std::string from);
  Async<std::shared_ptr<TlsStream>> dial(SocketAddress address, BootTime deadline);
  void refuse(const std::string& from, const Error& why) const {
    if (options.on_refused) options.on_refused(from, why);
  }

  AsioLoop& loop;
  Files& files;
  const TlsConfig config;
  const TcpTransportOptions options;
  std::shared_ptr<const TlsContext> context;
  std::shared_ptr<std::size_t> seats = std::make_shared<std::size_t>(0);
  std::list<std::shared_ptr<TlsStream>> half_open;
  std::vector<std::weak_ptr<ListenerState>> listeners;
  bool stopped = false;
  Scope tasks;  // accept loops and handshakes
};

Task<void> TcpTransport::Core::accept_loop(std::shared_ptr<ListenerState> listener) {
  while (!listener->closed) {
    SocketAddress from;
    from.size = sizeof from.storage;
    const int fd =
        ::accept4(listener->acceptor.native_handle(), reinterpret_cast<sockaddr*>(&from.storage),
                  &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(listener, fd, to_text(from));
      co_await yield(loop);
    } else if (errno == EAGAIN) {
      co_await TlsStream::ready(loop, listener->acceptor, TlsStream::For::kReading);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      refuse("", system_error("accept"));
      co_await sleep_for(loop, kOutOfResourcesPause);  // until somebody else gives some back
    } else {
      co_await yield(loop);  // that connection ended before it was accepted
    }
  }
}

void TcpTransport::Core::admit(const std::shared_ptr<ListenerState>& listener, int fd,
                               const std::string& from) {
  const bool full = *seats >= options.connections_max;
  if (full || half_open.size() >= options.half_open_max) {
    ::close(fd);
    refuse(from, Error{Code::kBusy, full ? "too many connections" : "too many handshakes"});
    return;
  }
  auto stream = std::make_shared<TlsStream>(loop, fd);
  stream->seat = seats;
  ++*seats;
  tasks.spawn(greet(listener, std::move(stream), from));
}

Task<void> TcpTransport::Core::greet(std::shared_ptr<ListenerState> listener,
                                     std::shared_ptr<TlsStream> stream, std::string from) {
  if (stopped) co_return;
  const auto place = half_open.insert(half_open.end(), stream);
  const auto deadline = loop.now() + options.handshake_deadline;
  const auto shaken =
      co_await TlsStream::shake_hands(stream, context, TlsSession::Role::kServer, deadline);
  half_open.erase(place);
  if (!shaken.ok()) {
    refuse(from, shaken.error());
  } else if (!listener->closed) {
    listener->arrived.push_back(std::move(stream));
    listener->changed.pulse();
  }
}

Async<std::shared_ptr<TlsStream>> TcpTransport::Core::dial(SocketAddress address,
                                                           BootTime deadline) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return Error{Code::kUnavailable, system_error("socket").message};
  auto stream = std::make_shared<TlsStream>(loop, fd);
  if (::connect(fd, address.get(), address.size) != 0) {
    if (errno != EINPROGRESS) co_return Error{Code::kUnavailable, system_error("connect").message};
    const auto timer = loop.add_timer(deadline, [raw = stream.get()] { raw->close(); });
    co_await stream->ready(TlsStream::For::kWriting);
    loop.cancel_timer(timer);
    if (stream->closed) co_return Error{Code::kTimeout, "connect: no answer in time"};
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) co_return Error{Code::kUnavailable, system_error("connect", error).message};
  }
  SQ_CO_TRY(co_await TlsStream::shake_hands(stream, context, TlsSession::Role::kClient, deadline));
  co_return stream;
}

TcpTransport::TcpTransport(std::unique_ptr<Core> core) : core_(std::move(core)) {}

TcpTransport::~TcpTransport() = default;

Result<std::unique_ptr<TcpTransport>> TcpTransport::create(AsioLoop& loop, Files& files,
                                                           TlsConfig config,
                                                           TcpTransportOptions options) {
  auto core = std::make_unique<Core>(loop, files, std::move(config), std::move(options));
  std::unique_ptr<TcpTransport> transport(new TcpTransport(std::move(core)));
  SQ_TRY(transport->reload());
  return transport;
}

Result<> TcpTransport::reload() {
  SQ_TRY(core_->context, load(core_->files, core_->config));
  return {};
}

const PeerIdentity& TcpTransport::own() const { return core_->context->own(); }

std::size_t TcpTransport::connection_count() const { return *core_->seats; }

Task<void> TcpTransport::stop() {
  core_->stopped = true;
  for (const auto& weak : core_->listeners)
    if (const auto listener = weak.lock()) listener->close();
  for (const auto& stream : core_->half_open) stream->close();
  co_await core_->tasks.join();
}

Result<std::unique_ptr<Listener>> TcpTransport::listen(const std::string& address) {
  auto numeric = resolve(address, false);
  auto addresses = numeric.ok() ? std::move(numeric) : resolve(address, true);
  if (!addresses.ok()) return Error{Code::kInvalid, "listen: " + addresses.error().message};
  SQ_TRY(const auto fd, open_listener(addresses->front()).context("listen on " + address));
  auto state = std::make_shared<ListenerState>(core_->loop, fd);
  state->address = to_text(local_address(fd));
  std::erase_if(core_->listeners, [](const auto& weak) { return weak.expired(); });
  core_->listeners.push_back(state);
  core_->tasks.spawn(core_->accept_loop(state));
  return std::unique_ptr<Listener>(std::make_unique<TcpListener>(std::move(state)));
}

Async<std::unique_ptr<Connection>> TcpTransport::connect(std::string address, Duration timeout) {
  const auto phrase = "connect to " + address;
  const auto deadline = core_->loop.now() + timeout;
  auto addresses = resolve(address, false);
  if (!addresses.ok()) {
    auto looked_up =
        co_await offload(core_->loop, [address] { return std::optional(resolve(address, true)); });
    addresses = std::move(*looked_up);
  }
  if (!addresses.ok()) co_return std::move(addresses).error().context(phrase);
  Error last{Code::kUnavailable, "no address"};
  for (const auto& one : *addresses) {
    auto stream = co_await core_->dial(one, deadline);
    if (stream.ok())
      co_return std::unique_ptr<Connection>(
          std::make_unique<TcpConnection>(std::move(stream).value()));
    last = std::move(stream).error();
    if (last.code == Code::kDenied || last.code == Code::kTimeout) break;
  }
  co_return std::move(last).context(phrase);
}

}  // namespace square::env
