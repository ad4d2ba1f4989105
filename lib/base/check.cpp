#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace square {

void check_failed(const char* file, int line, const char* expression, std::string_view state) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s%s%.*s\n", file, line, expression,
               state.empty() ? "" : ": ", static_cast<int>(state.size()), state.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace square
