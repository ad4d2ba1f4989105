#include "pool/slow_core.hpp"

namespace square::pool {
namespace {

constexpr env::Duration kLookMax = std::chrono::seconds(5);  // a longer gap between looks says less

}  // namespace

std::size_t SlowCore::asides() const {
  return static_cast<std::size_t>(std::ranges::count(slots_, true, &State::aside));
}

bool SlowCore::late(Slot slot, env::BootTime now) {
  auto& state = slots_[slot.value];
  if (state.aside) return true;
  if (asides() >= asides_max_) return false;
  if (state.times > 0 && now - state.until >= kForgivenAfter) state.times = 0;
  state.aside = true;
  state.until = now + kAsideFirst * (std::int64_t{1} << std::min(state.times, kDoublingsMax));
  ++state.times;
  return true;
}

bool SlowCore::may_return(Slot slot, env::BootTime now) const {
  return at(slot).aside && now >= at(slot).until;
}

void SlowCore::came_back(Slot slot, env::BootTime now) {
  slots_[slot.value].aside = false;
  slots_[slot.value].until = now;
}

void SlowCore::look(Slot slot, std::optional<bool> behind, env::BootTime now) {
  auto& state = slots_[slot.value];
  const auto since = state.looked ? std::min(now - *state.looked, kLookMax) : env::Duration(0);
  state.looked = now;
  if (state.aside) behind = true;
  if (!behind) return;
  state.behind += *behind ? since : -since;
  state.behind = std::clamp(state.behind, env::Duration(0), kSlowAfter);
  if (state.behind == kSlowAfter && !state.slow_since) state.slow_since = now;
  if (state.behind == env::Duration(0)) state.slow_since.reset();
}

}  // namespace square::pool
