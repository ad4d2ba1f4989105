#pragma once
// Marks a branch that is rare and must be reached by tests all the same:
//
//   if (second_disk_lost) { SQ_PROBE("second disk lost during rebuild"); ... }
//
// One relaxed increment where it stands. The simulation reports the probes that no run has reached.

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

namespace square {

// One place in the code. Registers itself before main, so that a place never reached is known too.
class Probe {
 public:
  explicit Probe(const char* name);
  Probe(const Probe&) = delete;
  void hit() { hits_.fetch_add(1, std::memory_order_relaxed); }

 private:
  friend std::vector<struct ProbeCount> probe_counts();
  friend void reset_probes();
  const char* name_;
  std::atomic<std::uint64_t> hits_{0};
  Probe* next_;
};

struct ProbeCount {
  std::string_view name;
  std::uint64_t hits = 0;
};

// Of all places that are linked in, by name; places of one name are summed.
std::vector<ProbeCount> probe_counts();
void reset_probes();

namespace detail {
// The name is a type, so that each has one static member, which is made before main.
template <class Name>
struct ProbeSite {
  static inline Probe probe{Name::text()};
};
}  // namespace detail

}  // namespace square

#define SQ_PROBE(name)                                     \
  do {                                                     \
    struct SqProbeName {                                   \
      static const char* text() { return name; }           \
    };                                                     \
    ::square::detail::ProbeSite<SqProbeName>::probe.hit(); \
  } while (false)
