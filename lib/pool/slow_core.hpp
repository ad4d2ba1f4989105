#pragma once
// Which members get no new writes for a while, and which are to be replaced, because they are much
// slower than their peers. Pure.
//
//   fine --a write was late--> set aside --its time is over--> fine
//                              1 s, and twice as long each time, to 64 s
//
// A member that is set aside or behind for long is slow: so much longer than it may be otherwise
// that one bad minute does not cost a disk. It is fine again only when it has made up for all of
// it.

#include <algorithm>
#include <optional>
#include <vector>

#include "env/loop.hpp"
#include "format/types.hpp"

namespace square::pool {

class SlowCore {
 public:
  // At most `asides_max` are set aside at once.
  SlowCore(std::size_t slots, std::size_t asides_max) : slots_(slots), asides_max_(asides_max) {}

  // How long a write or a flush may take before it is late, given what its peers usually take.
  static env::Duration late_after(std::optional<env::Duration> peers_usual) {
    if (!peers_usual) return kLateUnknown;
    return std::max(kLateMin, *peers_usual * kLateFactor);
  }
  // What a disk usually takes is far more than what its peers do.
  static bool is_behind(env::Duration own, env::Duration peers_usual) {
    return own >= kBehindMin && own > peers_usual * kBehindFactor;
  }

  // A write or flush of it was late. True when it is set aside, now or before; false when too many
  // are: then whoever waits goes on waiting.
  bool late(Slot slot, env::BootTime now);
  bool aside(Slot slot) const { return at(slot).aside; }
  std::size_t asides() const;
  // Its time is over; no write to it is under way any more, or it must not be called.
  bool may_return(Slot slot, env::BootTime now) const;
  void came_back(Slot slot, env::BootTime now);

  // Once a second or so, for each live member: what was seen since the last time. `behind` is
  // nothing when nothing was.
  void look(Slot slot, std::optional<bool> behind, env::BootTime now);
  bool slow(Slot slot) const { return at(slot).slow_since.has_value(); }
  std::optional<env::BootTime> slow_since(Slot slot) const { return at(slot).slow_since; }
  // Another disk has the slot.
  void forget(Slot slot) { slots_[slot.value] = {}; }

  static constexpr env::Duration kLateMin = std::chrono::milliseconds(20);
  static constexpr env::Duration kLateUnknown = std::chrono::seconds(1);
  static constexpr std::int64_t kLateFactor = 4;
  static constexpr env::Duration kBehindMin = std::chrono::milliseconds(20);
  static constexpr std::int64_t kBehindFactor = 8;
  static constexpr env::Duration kAsideFirst = std::chrono::seconds(1);
  static constexpr std::uint32_t kDoublingsMax = 6;
  static constexpr env::Duration kForgivenAfter = std::chrono::minutes(10);
  static constexpr env::Duration kSlowAfter = std::chrono::seconds(60);

 private:
  struct State {
    bool aside = false;
    std::optional<env::BootTime> slow_since;
    std::uint32_t times = 0;  // that it was set aside, not forgiven
    env::BootTime until;      // while aside; afterwards: since when it is back
    env::Duration behind{0};  // the sum, what it made up for taken off
    std::optional<env::BootTime> looked;
  };
  const State& at(Slot slot) const { return slots_[slot.value]; }

  std::vector<State> slots_;
  std::size_t asides_max_;
};

}  // namespace square::pool
