#include "daemon/http_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

namespace square::daemon {

namespace {

constexpr std::size_t kHeadBytesMax = 8u << 10;
constexpr int kStallMs = 2000;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<sockaddr_in> parse_address(const std::string& address) {
  const auto colon = address.rfind(':');
  sockaddr_in out{};
  out.sin_family = AF_INET;
  std::uint16_t port = 0;
  const auto* end = address.data() + address.size();
  if (colon == std::string::npos ||
      std::from_chars(address.data() + colon + 1, end, port).ptr != end ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &out.sin_addr) != 1)
    return Error{Code::kInvalid, "\"" + address + "\" is not an IPv4 address and a port"};
  out.sin_port = htons(port);
  return out;
}

bool wait_for(int fd, short events) {
  pollfd waiting{fd, events, 0};
  return poll(&waiting, 1, kStallMs) == 1;
}

// Up to the empty line, or nothing.
std::string read_head(int fd) {
  std::string head;
  std::array<char, 1024> part;
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < kHeadBytesMax) {
    if (!wait_for(fd, POLLIN)) return {};
    const auto got = recv(fd, part.data(), part.size(), 0);
    if (got <= 0) return {};
    head.append(part.data(), static_cast<std::size_t>(got));
  }
  return head;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty() && wait_for(fd, POLLOUT)) {
    const auto put = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (put <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    default: return "Service Unavailable";
  }
}

}  // namespace

Result<std::string> http_path(std::string_view head) {
  const auto line = head.substr(0, head.find("\r\n"));
  const auto first = line.find(' ');
  const auto second = line.find(' ', first == std::string_view::npos ? 0 : first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos ||
      !line.substr(second + 1).starts_with("HTTP/1."))
    return Error{Code::kInvalid, "not an HTTP request"};
  if (line.substr(0, first) != "GET") return Error{Code::kUnsupported, "only GET"};
  auto path = line.substr(first + 1, second - first - 1);
  return std::string(path.substr(0, path.find('?')));
}

std::string http_text(const HttpReply& reply) {
  return "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(reason(reply.status)) +
         "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: " +
         std::to_string(reply.body.size()) + "\r\nConnection: close\r\n\r\n" + reply.body;
}

class HttpServer::Impl {
 public:
  Impl(Descriptor listener, std::string address, Handler handler)
      : listener_(std::move(listener)),
        stop_(eventfd(0, EFD_CLOEXEC)),
        address_(std::move(address)),
        handler_(std::move(handler)),
        thread_([this] { run(); }) {}
  ~Impl() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto put = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  const std::string& address() const { return address_; }

 private:
  void run() {
    for (;;) {
      std::array<pollfd, 2> waiting{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      if (poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
      if (waiting[1].revents != 0) return;
      if (waiting[0].revents == 0) continue;
      const Descriptor peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer.get() >= 0) serve(peer.get());
    }
  }
  void serve(int fd) {
    const auto head = read_head(fd);
    if (head.empty()) return;
    const auto path = http_path(head);
    HttpReply reply;
    if (path.ok()) {
      reply = handler_(*path);
    } else {
      reply = {path.code() == Code::kUnsupported ? 405 : 400, path.error().message + "\n"};
    }
    write_all(fd, http_text(reply));
  }

  Descriptor listener_, stop_;
  std::string address_;
  Handler handler_;
  std::thread thread_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& address, Handler handler) {
  SQ_TRY(auto where, parse_address(address));
  Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      listen(listener.get(), 16) != 0)
    return Error{Code::kBusy, "HTTP cannot listen on " + address + ": " + std::strerror(errno)};
  socklen_t size = sizeof where;
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&where), &size);
  const auto real =
      address.substr(0, address.rfind(':') + 1) + std::to_string(ntohs(where.sin_port));
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::make_unique<Impl>(std::move(listener), real, std::move(handler))));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const std::string& HttpServer::address() const { return impl_->address(); }

}  // namespace square::daemon
