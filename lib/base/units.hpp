#pragma once
// Sizes, durations and times as people write and read them.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace square {

// "4096", "64 MiB", "1GiB", "512 B": a whole number of bytes. Units: B KiB MiB GiB TiB.
// Errors: kInvalid, saying what a size looks like.
Result<std::uint64_t> parse_size(std::string_view text);
// "1.5 GiB": for people, three digits.
std::string size_text(std::uint64_t bytes);

// "250 ms", "30 s", "5 min", "1 h". Errors: kInvalid.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// "2026-01-31T12:00:00Z" of nanoseconds since 1970 UTC; fractions of a second are dropped.
std::string rfc3339(std::int64_t wall_ns);

// The candidate that is the fewest changes of a letter away, or nothing when all are far.
template <class Candidates>
std::string nearest_name(std::string_view name, const Candidates& candidates);
std::size_t edit_distance(std::string_view a, std::string_view b);

template <class Candidates>
std::string nearest_name(std::string_view name, const Candidates& candidates) {
  std::string best;
  auto best_distance = name.size() / 2 + 1;
  for (const auto& candidate : candidates) {
    const auto distance = edit_distance(name, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

}  // namespace square
