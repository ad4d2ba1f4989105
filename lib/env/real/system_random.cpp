#include "env/real/system_random.hpp"

#include <sys/random.h>

#include <cerrno>

namespace square::env {

void SystemRandom::fill(MutableBytes out) {
  while (!out.empty()) {
    const auto got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    SQ_CHECK(got > 0, "the kernel gives no random bytes");
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace square::env
