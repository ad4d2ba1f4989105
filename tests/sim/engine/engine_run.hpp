#pragma once
// One seed: clients on one node, crashes of every kind, disks that fail within what the pool
// promises to survive, and a model that knows what every sector may show.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/sync.hpp"
#include "sim/engine/disk_trouble.hpp"
#include "sim/engine/engine_node.hpp"
#include "sim/engine/volume_model.hpp"

namespace square::sim {

struct RunOptions {
  std::uint64_t seed = 1;
  std::uint64_t operations = 2000;  // at least
  std::uint64_t faults = 20;        // at least: crashes, and what befalls disks
  bool trace = false;
};

struct RunReport {
  std::uint64_t operations = 0, acknowledged = 0, unknown = 0, refused_full = 0;
  std::uint64_t crashes = 0, recovery_crashes = 0, restarts = 0, retries = 0, snapshots = 0;
  std::uint64_t strikes = 0, heals = 0, rebuilt_bytes = 0, sealings = 0;
  std::uint64_t destages = 0, checkpoints = 0, direct_writes = 0, moved_bytes = 0;
  FaultCounts faults;
  bool rocks = false;
  double virtual_s = 0;
  std::uint64_t events = 0, event_hash = 0;
  std::optional<std::string> violation;
};

class EngineRun {
 public:
  explicit EngineRun(RunOptions options);
  RunReport run();

 private:
  struct Volume {
    std::string name;
    VolumeId id;
    VolumeModel model;
    bool deleted = false;
  };
  struct Snapshot {
    std::string id;
    std::size_t volume;
    VolumeModel model;
  };
  struct Write {
    std::size_t volume = 0;
    std::uint64_t first = 0, count = 0, token = 0, began = 0;  // token 0: zeroing
    store::RequestId request;
  };

  void trace(const std::string& what);
  void violation(std::string what);
  bool failed() const { return report_.violation.has_value(); }
  std::uint64_t dice(std::uint64_t n) { return rng_.below(n); }
  bool chance(unsigned percent) { return dice(100) < percent; }
  std::uint64_t tick() { return ++tick_; }

  bool begin();
  void create_volume(const std::string& name);
  void round();
  void short_term();
  void crash_and_recover();
  void recover();
  void checkpoint_and_crash();
  void restart();
  std::uint64_t faults() const;
  std::size_t surviving_states();
  bool enough() const;
  void run_clients(std::uint64_t clients, std::uint64_t operations);
  void quiet();
  void take_snapshot();
  void check_snapshots();
  void change_volumes();
  void drop_one_snapshot();
  void replace_volume();
  void check_everything();
  void retry_unknown();
  void note_engine_stats();

  std::size_t pick_volume();
  Write draw_write();
  store::RequestId next_request();
  Task<void> client(std::uint64_t operations);
  Async<> carry_out(Write write);
  Task<void> write_once();
  Task<void> read_once(std::size_t volume, std::uint64_t first, std::uint64_t count);
  Task<void> status_once();
  void settle(const Write& write, const Result<>& result);

  RunOptions options_;
  SimWorld world_;
  Rng rng_;
  NodeShape shape_;
  EngineNode node_;
  std::vector<Volume> volumes_;
  std::vector<Snapshot> snapshots_;
  std::vector<Write> in_flight_, unknown_;
  SessionId session_;
  std::uint64_t next_number_ = 1;
  std::uint64_t next_token_ = 1;
  std::uint64_t tick_ = 0;
  DiskTrouble trouble_;
  std::unique_ptr<env::Scope> clients_;
  RunReport report_;
};

}  // namespace square::sim
