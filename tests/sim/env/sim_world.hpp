#pragma once
// Virtual time: a heap of events ordered by (time, insertion number), one seeded Rng, and a hash of
// all that happened, so that two runs of one seed can be shown to be the same run. One thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "env/loop.hpp"
#include "sim/env/sim_rng.hpp"

namespace square::sim {

class SimProcess;
class SimMedium;
class SimNet;

// Who is told when an event is due. It outlives its events; a token that it no longer knows is
// ignored by it, which is how events are cancelled.
class EventTarget {
 public:
  virtual ~EventTarget() = default;
  virtual void fire(std::uint64_t token) = 0;
};

struct WorldOptions {
  std::uint64_t seed = 1;
  env::Duration turn_cost = std::chrono::microseconds(1);  // of each resumed coroutine or callback
  env::Duration helper_min = std::chrono::microseconds(5);
  env::Duration helper_max = std::chrono::microseconds(50);
};

struct ProcessOptions {
  std::int64_t boot_offset_ns = 1'000'000'000;
  std::int64_t boot_drift_ppb = 0;  // billionths by which the clock of this process is fast
  std::int64_t wall_offset_ns = 1'700'000'000'000'000'000;
  std::int64_t wall_drift_ppb = 0;
};

class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed) : SimWorld(WorldOptions{.seed = seed}) {}
  explicit SimWorld(WorldOptions options);
  SimWorld(const SimWorld&) = delete;
  ~SimWorld();

  // Lives as long as the world. Names are for addresses and messages.
  SimProcess& add_process(std::string name, ProcessOptions options = {});
  SimMedium& add_medium(std::uint64_t size_bytes);
  SimMedium& add_medium(std::unique_ptr<SimMedium> medium);
  SimNet& net() { return *net_; }

  std::int64_t now_ns() const { return now_ns_; }
  Rng& rng() { return rng_; }
  const WorldOptions& options() const { return options_; }

  void schedule(std::int64_t at_ns, EventTarget& target, std::uint64_t token);
  // Takes part in the hash: which event, where, what came of it.
  void mix(std::uint64_t word) { hash_ = (hash_ ^ word) * 0x100000001B3ull ^ hash_ >> 29; }
  std::uint64_t hash() const { return hash_; }
  std::uint64_t events() const { return events_; }

  // Runs the next event. False when there is none.
  bool step();
  // Runs events until `done` says so. False when the time is over or nothing is left to happen.
  bool run_until(const std::function<bool()>& done, env::Duration limit = kLimit);
  // Lets the time pass, with all that happens in it.
  void run_for(env::Duration duration);

  bool on_own_thread() const { return std::this_thread::get_id() == thread_; }

  static constexpr env::Duration kLimit = std::chrono::hours(24);

 private:
  struct Event {
    std::int64_t at_ns;
    std::uint64_t number;
    EventTarget* target;
    std::uint64_t token;
    bool operator<(const Event& other) const {  // std heaps keep the largest in front
      return at_ns != other.at_ns ? at_ns > other.at_ns : number > other.number;
    }
  };

  WorldOptions options_;
  Rng rng_;
  std::thread::id thread_ = std::this_thread::get_id();
  std::int64_t now_ns_ = 0;
  std::uint64_t numbers_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t hash_ = 0xCBF29CE484222325ull;
  std::vector<Event> heap_;
  std::unique_ptr<SimNet> net_;
  std::vector<std::unique_ptr<SimMedium>> media_;
  std::vector<std::unique_ptr<SimProcess>> processes_;
};

}  // namespace square::sim
