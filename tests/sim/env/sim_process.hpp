#pragma once
// One simulated process: its loop (a fresh one after each crash) and everything else of its Env,
// which stays: disks, files, the stream of random numbers, its place in the network.
//
//   SimWorld world(seed);
//   auto& node = world.add_process("n1");
//   node.disks().add("/dev/a", 64u << 20);
//   auto disk = node.run(node.disks().open("/dev/a", {})).value();
//   ...
//   node.crash(CrashKind::kPowerLoss);
//   disk.reset();            // the objects of the process go, while loop.ending()
//   node.restart();

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/env.hpp"
#include "sim/env/sim_disk.hpp"
#include "sim/env/sim_files.hpp"
#include "sim/env/sim_loop.hpp"
#include "sim/env/sim_random.hpp"
#include "sim/env/sim_transport.hpp"

namespace square::sim {

enum class CrashKind : std::uint8_t { kKill, kPowerLoss };

namespace detail {

// A task that nothing of the process owns: the test does, on its stack.
template <class T>
Task<void> keep(Task<T> task, std::optional<T>& out) {
  out.emplace(co_await task);
}

struct Root {
  struct promise_type {
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};
Root run_root(Task<void> task);

}  // namespace detail

class SimProcess {
 public:
  SimProcess(SimWorld& world, std::string name, ProcessOptions options);
  ~SimProcess();

  const std::string& name() const { return name_; }
  SimWorld& world() { return world_; }
  SimLoop& loop() { return *loops_.back(); }
  SimDisks& disks() { return disks_; }
  SimFiles& files() { return files_; }
  SimRandom& random() { return random_; }
  SimTransport& transport() { return *transports_.back(); }
  // Of the present run of the process.
  env::Env env() { return {loop(), random_, disks_, files_, transport()}; }

  bool running() const { return !loops_.back()->ending(); }
  // Ends the present run at once: also from inside a call of its own code, which then goes on to
  // its next suspension without any effect on the world.
  void crash(CrashKind kind);
  // Another run on the same disks. The objects of the one before must be gone.
  void restart();
  void set_paused(bool paused) { loop().set_paused(paused); }

  // Runs the world until `task` has ended. Nothing if the process crashed before: then the task's
  // frame is destroyed. Aborts when it cannot end, or not within the virtual `limit`.
  template <class T>
  std::optional<T> run_or_crash(Task<T> task, env::Duration limit = SimWorld::kLimit) {
    std::optional<T> value;
    if (!drive(detail::keep(std::move(task), value), limit)) return std::nullopt;
    return value;
  }
  bool run_or_crash(Task<void> task, env::Duration limit = SimWorld::kLimit) {
    return drive(std::move(task), limit);
  }
  // The same where a crash is not expected.
  template <class T>
  T run(Task<T> task, env::Duration limit = SimWorld::kLimit) {
    auto value = run_or_crash(std::move(task), limit);
    SQ_CHECK(value.has_value(), "the process crashed");
    return std::move(*value);
  }
  void run(Task<void> task, env::Duration limit = SimWorld::kLimit) {
    SQ_CHECK(drive(std::move(task), limit), "the process crashed");
  }

 private:
  bool drive(Task<void> task, env::Duration limit);

  SimWorld& world_;
  std::string name_;
  ProcessOptions options_;
  std::vector<std::unique_ptr<SimLoop>> loops_;  // dead ones stay: objects may still refer to them
  SimRandom random_;
  SimFiles files_;
  SimDisks disks_;
  std::vector<std::unique_ptr<SimTransport>> transports_;
};

}  // namespace square::sim
