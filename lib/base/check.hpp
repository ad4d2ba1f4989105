#pragma once
// Broken invariants end the process, in every build: a storage engine that goes on after it has
// noticed that its own state is wrong can only make things worse. Bytes from a disk or a peer are
// never an invariant; they are checked by decoders and reported as Code::kCorrupt.

#include <string_view>

namespace square {

// Prints `expression`, the place and `state`, and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression,
                               std::string_view state);

}  // namespace square

#define SQ_CHECK(condition, ...)                                                               \
  do {                                                                                         \
    if (!(condition)) [[unlikely]]                                                             \
      ::square::check_failed(__FILE__, __LINE__, #condition, ::std::string_view{__VA_ARGS__}); \
  } while (false)
