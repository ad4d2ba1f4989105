#include "pool/usual_time.hpp"

#include <algorithm>
#include <vector>

namespace square::pool {
namespace {

// Steps up and down are 9 to 1, so they hold each other when one sample of ten lies above.
constexpr double kUp = 1.0 + 0.9 / 8, kDown = 1.0 - 0.1 / 8;
constexpr double kLeastNs = 1000;  // below it, differences are the clock's

std::size_t size_class(std::uint64_t size_bytes) {
  if (size_bytes <= 8u << 10) return 0;
  if (size_bytes <= 64u << 10) return 1;
  return size_bytes <= 512u << 10 ? 2 : 3;
}

}  // namespace

void UsualTime::note(env::Duration took) {
  const auto ns = std::max(static_cast<double>(took.count()), kLeastNs);
  if (samples_++ < kSamplesMin) {
    high_ns_ = std::max(high_ns_, ns);
    return;
  }
  high_ns_ = std::max(high_ns_ * (ns > high_ns_ ? kUp : kDown), kLeastNs);
}

void RequestTimes::note(RequestKind kind, std::uint64_t size_bytes, env::Duration took) {
  times_[static_cast<std::size_t>(kind)][size_class(size_bytes)].note(took);
}

const UsualTime& RequestTimes::of(RequestKind kind, std::uint64_t size_bytes) const {
  return at(kind, size_class(size_bytes));
}

std::optional<env::Duration> median_usual(std::span<const UsualTime* const> peers) {
  std::vector<env::Duration> known;
  for (const auto* peer : peers)
    if (peer->known()) known.push_back(peer->high());
  if (known.size() < 2) return std::nullopt;
  const auto middle = known.begin() + static_cast<std::ptrdiff_t>((known.size() - 1) / 2);
  std::ranges::nth_element(known, middle);
  return *middle;
}

}  // namespace square::pool
