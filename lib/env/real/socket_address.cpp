#include "env/real/socket_address.hpp"

#include <netdb.h>

#include <algorithm>
#include <cctype>
#include <cstring>

namespace square::env {

Result<std::vector<SocketAddress>> resolve(const std::string& address, bool names) {
  const auto colon = address.rfind(':');
  const auto invalid = [&](std::string_view why) {
    return Error{Code::kInvalid, "address \"" + address + "\": " + std::string(why)};
  };
  if (colon == std::string::npos) return invalid("expected host:port");
  auto host = address.substr(0, colon);
  const auto port = address.substr(colon + 1);
  if (port.empty() || port.size() > 5 ||
      !std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c); }) ||
      std::stoi(port) > 65535)
    return invalid("the port is not a number up to 65535");
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return invalid("an IPv6 address needs brackets");
  if (host.empty()) return invalid("expected host:port");

  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (names ? 0 : AI_NUMERICHOST);
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    if (!names) return invalid("not a numeric address");
    return Error{Code::kUnavailable, "look up " + host + ": " + ::gai_strerror(error)};
  }
  std::vector<SocketAddress> all;
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    auto& added = all.emplace_back();
    std::memcpy(&added.storage, one->ai_addr, one->ai_addrlen);
    added.size = one->ai_addrlen;
  }
  ::freeaddrinfo(found);
  return all;
}

std::string to_text(const SocketAddress& address) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "unknown";
  const std::string name = address.family() == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return name + ":" + port;
}

SocketAddress local_address(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0)
    address = {};
  return address;
}

}  // namespace square::env
