#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/result.hpp"

namespace square::env {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// "host:port", "1.2.3.4:port", "[::1]:port". `names`: also looks names up, which blocks.
// Errors: kInvalid (no such form), kUnavailable (the name has no address).
Result<std::vector<SocketAddress>> resolve(const std::string& address, bool names);
// Numbers only, with the port.
std::string to_text(const SocketAddress& address);
SocketAddress local_address(int fd);

}  // namespace square::env
