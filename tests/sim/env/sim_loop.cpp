#include "sim/env/sim_loop.hpp"

namespace square::sim {
namespace {

std::int64_t drifted(std::int64_t offset_ns, std::int64_t world_ns, std::int64_t drift_ppb) {
  const auto gained = static_cast<__int128>(world_ns) * drift_ppb / 1'000'000'000;
  return offset_ns + world_ns + static_cast<std::int64_t>(gained);
}

}  // namespace

env::BootTime SimLoop::now() const {
  return {drifted(options_.boot_offset_ns, world_.now_ns(), options_.boot_drift_ppb)};
}

env::WallTime SimLoop::wall() const {
  return {drifted(options_.wall_offset_ns, world_.now_ns(), options_.wall_drift_ppb)};
}

std::int64_t SimLoop::world_time_of(env::BootTime at) const {
  const auto rate = static_cast<__int128>(1'000'000'000) + options_.boot_drift_ppb;
  const auto local = static_cast<__int128>(at.ns) - options_.boot_offset_ns;
  auto world_ns = static_cast<std::int64_t>(local * 1'000'000'000 / rate);
  while (drifted(options_.boot_offset_ns, world_ns, options_.boot_drift_ppb) < at.ns) ++world_ns;
  return world_ns;
}

void SimLoop::post(std::coroutine_handle<> handle) { push({.handle = handle, .callback = {}}); }
void SimLoop::post(Callback callback) { push({.handle = {}, .callback = std::move(callback)}); }
void SimLoop::post_from_any_thread(Callback callback) { post(std::move(callback)); }

void SimLoop::push(Ready ready) {
  SQ_CHECK(world_.on_own_thread(), "a simulation has one thread");
  if (ending_) return;
  ready_.push_back(std::move(ready));
  plan_turn();
}

void SimLoop::plan_turn() {
  if (turn_planned_ || paused_ || ready_.empty()) return;
  turn_planned_ = true;
  world_.schedule(world_.now_ns() + world_.options().turn_cost.count(), *this, kTurn);
}

env::Loop::TimerId SimLoop::add_timer(env::BootTime at, Callback callback) {
  if (ending_) return {};
  const auto token = take_slot(kTimer, std::move(callback), {});
  world_.schedule(world_time_of(at), *this, token);
  return {token};
}

void SimLoop::cancel_timer(TimerId id) {
  if (find(id.value) != nullptr) free_slot(id.value);
}

void SimLoop::run_on_helper(Callback work, Callback done) {
  if (ending_) return;
  const auto token = take_slot(kHelper, std::move(work), std::move(done));
  const auto& options = world_.options();
  const auto lasts = world_.rng().between(static_cast<std::uint64_t>(options.helper_min.count()),
                                          static_cast<std::uint64_t>(options.helper_max.count()));
  world_.schedule(world_.now_ns() + static_cast<std::int64_t>(lasts), *this, token);
}

std::uint64_t SimLoop::take_slot(Kind kind, Callback work, Callback done) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const auto index = free_slots_.back();
  free_slots_.pop_back();
  auto& slot = slots_[index];
  slot.work = std::move(work);
  slot.done = std::move(done);
  return token_of(kind, index, slot.use);
}

SimLoop::Slot* SimLoop::find(std::uint64_t token) {
  const auto index = static_cast<std::uint32_t>(token) >> 2;
  if ((token & 3) == kTurn || index >= slots_.size()) return nullptr;
  return slots_[index].use == token >> 32 ? &slots_[index] : nullptr;
}

void SimLoop::free_slot(std::uint64_t token) {
  const auto index = static_cast<std::uint32_t>(token) >> 2;
  ++slots_[index].use;
  free_slots_.push_back(index);
  const auto dropped = std::move(slots_[index].work);  // may call back when it is destroyed
  const auto dropped_too = std::move(slots_[index].done);
}

void SimLoop::fire(std::uint64_t token) {
  if (ending_) return;
  if (token == kTurn) return run_turn();
  auto* slot = find(token);
  if (slot == nullptr) return;
  if ((token & 3) == kTimer) return push({.handle = {}, .callback = {}, .timer = token});
  const auto work = std::move(slot->work);
  auto done = std::move(slot->done);
  free_slot(token);
  work();
  post(std::move(done));
}

void SimLoop::run_turn() {
  turn_planned_ = false;
  if (paused_ || ready_.empty()) return;
  auto item = std::move(ready_.front());
  ready_.pop_front();
  in_turn_ = true;
  if (item.handle) {
    item.handle.resume();
  } else if (item.timer == 0) {
    item.callback();
  } else if (auto* slot = find(item.timer)) {
    const auto callback = std::move(slot->work);
    free_slot(item.timer);
    callback();
  }
  in_turn_ = false;
  if (ending_) return bury();
  plan_turn();
}

void SimLoop::set_paused(bool paused) {
  paused_ = paused;
  plan_turn();
}

void SimLoop::end() {
  ending_ = true;
  if (!in_turn_) bury();
}

// Not while code of the process is on the stack: it may be using what a callback holds.
void SimLoop::bury() {
  const auto ready = std::exchange(ready_, {});
  const auto slots = std::exchange(slots_, {});
  free_slots_.clear();
}

}  // namespace square::sim
