#pragma once
// A node with some acknowledged content, brought to where one operation is to be tried, and a model
// of what must read back whatever happens to that operation.

#include <optional>
#include <string>
#include <vector>

#include "sim/engine/engine_node.hpp"
#include "sim/engine/volume_model.hpp"

namespace square::sim {

class SweepStage {
 public:
  explicit SweepStage(std::uint64_t seed);

  SimWorld& world() { return world_; }
  EngineNode& node() { return node_; }
  FaultPlan& plan() { return node_.process().disks().plan(); }
  store::Engine& engine() { return *node_.engine(); }

  // ---- to prepare; what fails here breaks an invariant of the sweep
  void write(std::uint64_t first, std::uint64_t count);
  void snapshot();
  void checkpoint();
  void power_loss();

  // ---- operations; nothing when the process crashed meanwhile
  using Outcome = std::optional<Result<>>;
  Outcome try_write(std::uint64_t first, std::uint64_t count);
  Outcome try_zero(std::uint64_t first, std::uint64_t count);
  template <class T>
  Outcome try_task(Task<Result<T>> task) {
    auto done = node_.process().run_or_crash(std::move(task));
    if (!done) return std::nullopt;
    if (!done->ok()) return Outcome(Result<>(std::move(*done).error()));
    return Outcome(Result<>());
  }
  // Lets the world go on until `done`; nothing when the process crashed.
  Outcome try_until(const std::function<bool()>& done);

  const std::string& volume() const { return name_; }
  const std::string& snapshot_id() const { return snapshot_id_; }
  void snapshot_may_be_gone() { snapshot_may_be_gone_ = true; }
  void volume_may_be_deleted() { volume_may_be_deleted_ = true; }

  // Ends the process where it is, and starts it again; the index as flushed last, or gone.
  std::optional<std::string> crash_and_start(CrashKind kind, bool index_lost);
  // Everything acknowledged reads back, in the present and at the snapshot; the index agrees.
  std::optional<std::string> verify();

 private:
  Outcome carry_out(std::uint64_t first, std::uint64_t count, std::uint64_t token);
  std::optional<std::string> verify_range(VolumeModel& model, std::uint64_t first,
                                          std::uint64_t count, std::optional<std::string> at);

  SimWorld world_;
  EngineNode node_;
  std::string name_ = "data";
  VolumeId id_;
  VolumeModel model_;
  std::optional<VolumeModel> at_snapshot_;
  std::string snapshot_id_;
  bool snapshot_may_be_gone_ = false, volume_may_be_deleted_ = false;
  std::uint64_t tick_ = 0, next_token_ = 1;
};

}  // namespace square::sim
