#pragma once
// Bugs kept on purpose, each behind a name, to show that the tests find them:
//
//   if (SQ_PLANTED("trim_early")) tail = next;
//
// Constant false, and gone, unless the build defines SQUARE_PLANTED_BUGS.

#ifdef SQUARE_PLANTED_BUGS

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace square {

// One place in the code; registers itself before main.
class PlantedBug {
 public:
  explicit PlantedBug(const char* name);
  PlantedBug(const PlantedBug&) = delete;
  bool active() const { return active_.load(std::memory_order_relaxed); }

 private:
  friend std::vector<std::string> planted_bugs();
  friend Result<> set_planted_bug(std::string_view name, bool active);
  friend void clear_planted_bugs();
  const char* name_;
  std::atomic<bool> active_{false};
  PlantedBug* next_;
};

// Names of all that are linked in, sorted.
std::vector<std::string> planted_bugs();
// Errors: kInvalid for an unknown name; the message lists the known ones.
Result<> set_planted_bug(std::string_view name, bool active = true);
void clear_planted_bugs();

namespace detail {
template <class Name>
struct PlantedSite {
  static inline PlantedBug bug{Name::text()};
};
}  // namespace detail

}  // namespace square

#define SQ_PLANTED(name)                                               \
  ([]() -> bool {                                                      \
    struct SqPlantedName {                                             \
      static const char* text() { return name; }                       \
    };                                                                 \
    return ::square::detail::PlantedSite<SqPlantedName>::bug.active(); \
  }())

#else

#define SQ_PLANTED(name) false

#endif
