#pragma once
// The time by which deleted volumes go for good. It only moves forward, and never faster than time
// passes: a calendar that is set years ahead by mistake must not purge anything, and one that is
// set back must not keep everything for ever. docs/decisions/0011-retention-clock.md.
//
// While the process runs it moves with the boot clock. At a start the calendar may put it forward,
// by one day at most: how long the process was away, nobody else can say.

#include <algorithm>

#include "env/loop.hpp"

namespace square::store {

class RetentionClock {
 public:
  static constexpr env::Duration kStartMax = std::chrono::hours(24);

  // A time that this clock showed, found in the group's records; before start().
  void seen(std::int64_t ns) { base_ns_ = std::max(base_ns_, ns); }

  void start(env::WallTime wall, env::BootTime boot) {
    const auto ahead = wall.ns - base_ns_;
    base_ns_ =
        base_ns_ == 0 ? wall.ns : base_ns_ + std::clamp<std::int64_t>(ahead, 0, kStartMax.count());
    started_ = boot;
  }

  // Nanoseconds; as calendar time, as near to it as the rules allow.
  std::int64_t now(env::BootTime boot) const { return base_ns_ + (boot - started_).count(); }

 private:
  std::int64_t base_ns_ = 0;
  env::BootTime started_;
};

}  // namespace square::store
