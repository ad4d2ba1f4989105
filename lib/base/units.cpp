#include "base/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <utility>
#include <vector>

namespace square {

namespace {

using Unit = std::pair<std::string_view, std::uint64_t>;
constexpr std::array<Unit, 5> kSizes{
    {{"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}}};
constexpr std::array<Unit, 5> kDurations{{{"ms", 1'000'000ull},
                                          {"s", 1'000'000'000ull},
                                          {"min", 60'000'000'000ull},
                                          {"h", 3'600'000'000'000ull},
                                          {"d", 86'400'000'000'000ull}}};

// A number and a unit with or without a space between; `plain` is the unit of a bare number (0:
// none).
template <std::size_t count>
Result<std::uint64_t> parse_units(std::string_view text, const std::array<Unit, count>& units,
                                  std::uint64_t plain, std::string_view examples) {
  const Error bad{Code::kInvalid,
                  "\"" + std::string(text) + "\" is not like " + std::string(examples)};
  std::uint64_t number = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc()) return bad;
  std::string_view rest(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  auto factor = plain;
  if (!rest.empty()) {
    const auto unit = std::ranges::find(units, rest, &Unit::first);
    if (unit == units.end()) return bad;
    factor = unit->second;
  }
  if (factor == 0 || number > UINT64_MAX / factor) return bad;
  return number * factor;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  return parse_units(text, kSizes, 1, "\"64 MiB\" (units: B KiB MiB GiB TiB)");
}

std::string size_text(std::uint64_t bytes) {
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  while (value >= 1024 && unit + 1 < kSizes.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text;
  const int digits = unit == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, kSizes[unit].first.data());
  return text.data();
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  SQ_TRY(const auto ns, parse_units(text, kDurations, 0, "\"30 s\" (units: ms s min h d)"));
  if (ns > static_cast<std::uint64_t>(INT64_MAX))
    return Error{Code::kInvalid, "\"" + std::string(text) + "\" is too long"};
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
}

std::string rfc3339(std::int64_t wall_ns) {
  const std::time_t seconds = wall_ns / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace square
