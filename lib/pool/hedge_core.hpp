#pragma once
// When a read is raced with a reconstruction through parity, and how often. Pure.
//
// A race reads k strips for one that is late. So that this never doubles the load when all disks
// are slow, races live on a budget: each read earns less than its own bytes, and a race spends all
// that it reads.

#include <algorithm>
#include <cstdint>
#include <optional>

#include "env/loop.hpp"

namespace square::pool {

class HedgeCore {
 public:
  // How long a read of a disk may take before it is late, given what its peers usually take.
  static env::Duration late_after(std::optional<env::Duration> peers_usual) {
    if (!peers_usual) return kAfterUnknown;
    return std::max(kAfterMin, *peers_usual * kPeersFactor);
  }

  void read_begins(std::uint64_t bytes) {
    saved_bytes_ = std::min(saved_bytes_ + bytes / kEarnedPer * kEarned, kSavedBytesMax);
  }
  // True when a race that reads that much may begin.
  bool begin_race(std::uint64_t bytes) {
    if (bytes > saved_bytes_) return false;
    saved_bytes_ -= bytes;
    return true;
  }

  static constexpr env::Duration kAfterMin = std::chrono::milliseconds(5);
  static constexpr env::Duration kAfterUnknown = std::chrono::milliseconds(100);
  static constexpr std::int64_t kPeersFactor = 3;

 private:
  static constexpr std::uint64_t kEarned = 7, kEarnedPer = 8;
  static constexpr std::uint64_t kSavedBytesMax = 16u << 20;
  std::uint64_t saved_bytes_ = kSavedBytesMax;
};

}  // namespace square::pool
