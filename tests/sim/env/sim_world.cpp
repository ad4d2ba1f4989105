#include "sim/env/sim_world.hpp"

#include <algorithm>

#include "sim/env/sim_medium.hpp"
#include "sim/env/sim_process.hpp"
#include "sim/env/sim_transport.hpp"

namespace square::sim {

SimWorld::SimWorld(WorldOptions options)
    : options_(options), rng_(options.seed), net_(std::make_unique<SimNet>(*this)) {}

SimWorld::~SimWorld() {
  for (auto& process : processes_) process->crash(CrashKind::kKill);
  net_->drop_all();
}

SimProcess& SimWorld::add_process(std::string name, ProcessOptions options) {
  processes_.push_back(std::make_unique<SimProcess>(*this, std::move(name), options));
  return *processes_.back();
}

SimMedium& SimWorld::add_medium(std::uint64_t size_bytes) {
  return add_medium(std::make_unique<SimMedium>(*this, size_bytes));
}

SimMedium& SimWorld::add_medium(std::unique_ptr<SimMedium> medium) {
  media_.push_back(std::move(medium));
  return *media_.back();
}

void SimWorld::schedule(std::int64_t at_ns, EventTarget& target, std::uint64_t token) {
  heap_.push_back({std::max(at_ns, now_ns_), numbers_++, &target, token});
  std::push_heap(heap_.begin(), heap_.end());
}

bool SimWorld::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end());
  const auto event = heap_.back();
  heap_.pop_back();
  now_ns_ = event.at_ns;
  ++events_;
  mix(static_cast<std::uint64_t>(event.at_ns));
  mix(event.number ^ event.token << 20);
  event.target->fire(event.token);
  return true;
}

bool SimWorld::run_until(const std::function<bool()>& done, env::Duration limit) {
  const auto end_ns = now_ns_ + limit.count();
  while (!done()) {
    if (heap_.empty() || heap_.front().at_ns > end_ns) return false;
    step();
  }
  return true;
}

void SimWorld::run_for(env::Duration duration) {
  const auto end_ns = now_ns_ + duration.count();
  while (!heap_.empty() && heap_.front().at_ns <= end_ns) step();
  now_ns_ = end_ns;
}

}  // namespace square::sim
