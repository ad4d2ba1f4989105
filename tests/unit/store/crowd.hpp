#pragma once
// Many requests at once; each outcome is noted where it belongs.

#include <algorithm>

#include "unit/store/engine_rig.hpp"

namespace square::test {

struct Crowd {
  explicit Crowd(EngineRig& r) : rig(r), scope(r.process.loop()) {}
  void add(Async<> task) {
    outcomes.emplace_back();
    scope.spawn(note(std::move(task), outcomes.size() - 1));
  }
  Task<void> note(Async<> task, std::size_t at) {
    outcomes[at] = co_await task;
    ++ended;
  }
  // False when some never end: the process is gone then.
  bool all_end(env::Duration limit = std::chrono::seconds(120)) {
    const auto done = [this] { return ended == outcomes.size(); };
    if (rig.world.run_until(done, limit)) return true;
    rig.process.crash(sim::CrashKind::kKill);
    return false;
  }
  std::size_t count(Code code) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        outcomes, [&](const auto& each) { return each && each->failed_with(code); }));
  }
  bool all_ok() const {
    for (const auto& each : outcomes) {
      if (each && each->ok()) continue;
      UNSCOPED_INFO((each ? each->error().message : std::string("it has not ended")));
      return false;
    }
    return true;
  }

  EngineRig& rig;
  std::vector<std::optional<Result<>>> outcomes;
  std::size_t ended = 0;
  env::Scope scope;
};

inline ByteVector bytes_of(std::uint8_t fill, std::size_t bytes) {
  return blocks_of(fill, bytes / kBlockBytes);
}

}  // namespace square::test
