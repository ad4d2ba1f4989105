#include "sim/env/sim_process.hpp"

namespace square::sim {

detail::Root detail::run_root(Task<void> task) { co_await task; }

SimProcess::SimProcess(SimWorld& world, std::string name, ProcessOptions options)
    : world_(world),
      name_(std::move(name)),
      options_(options),
      random_(world.rng().fork()),
      disks_(*this) {
  restart();
}

SimProcess::~SimProcess() = default;

void SimProcess::restart() {
  SQ_CHECK(loops_.empty() || !running(), "restarted while it runs");
  loops_.push_back(std::make_unique<SimLoop>(world_, options_));
  transports_.push_back(std::make_unique<SimTransport>(world_.net(), *loops_.back(), name_));
  files_.set_dead(false);
}

void SimProcess::crash(CrashKind kind) {
  if (!running()) return;
  world_.mix(static_cast<std::uint64_t>(kind) + 0xC4A5);
  loop().end();
  files_.set_dead(true);
  disks_.crashed(kind == CrashKind::kPowerLoss);
  transport().crashed(kind == CrashKind::kPowerLoss);
}

bool SimProcess::drive(Task<void> task, env::Duration limit) {
  auto& on = loop();
  SQ_CHECK(!on.ending(), "the process does not run");
  const auto root = detail::run_root(std::move(task)).handle;
  on.post(std::coroutine_handle<>(root));
  const bool ended = world_.run_until([&] { return root.done() || on.ending(); }, limit);
  SQ_CHECK(ended, "the task waits for something that never happens, or for too long");
  const bool done = root.done();
  root.destroy();
  return done;
}

}  // namespace square::sim
