#pragma once
// How long the requests of a disk usually take. Pure: who measures tells, who decides asks.

#include <array>
#include <optional>
#include <span>

#include "env/loop.hpp"

namespace square::pool {

enum class RequestKind : std::uint8_t { kRead, kWrite, kFlush };

// A high quantile that keeps no samples: about nine of ten lie below it. It follows a disk that has
// become 100 times slower within some fifty requests, and forgets it within a few hundred.
class UsualTime {
 public:
  void note(env::Duration took);
  bool known() const { return samples_ >= kSamplesMin; }
  std::uint64_t samples() const { return samples_; }
  env::Duration high() const { return env::Duration(static_cast<std::int64_t>(high_ns_)); }

 private:
  static constexpr std::uint64_t kSamplesMin = 8;
  double high_ns_ = 0;
  std::uint64_t samples_ = 0;
};

// Of one disk, for each kind of request and class of size: what takes long because it is large is
// not slow.
class RequestTimes {
 public:
  void note(RequestKind kind, std::uint64_t size_bytes, env::Duration took);
  const UsualTime& of(RequestKind kind, std::uint64_t size_bytes) const;

  static constexpr std::size_t kClasses = 4;
  const UsualTime& at(RequestKind kind, std::size_t size_class) const {
    return times_[static_cast<std::size_t>(kind)][size_class];
  }

 private:
  std::array<std::array<UsualTime, kClasses>, 3> times_;
};

// The median of what is known; nothing while fewer than two are: one disk is nobody's peers.
std::optional<env::Duration> median_usual(std::span<const UsualTime* const> peers);

}  // namespace square::pool
