#pragma once
// One seed: a store with one client, and two that take its snapshots as diffs, the second from
// either of the others. Streams break, sources and receivers crash, the store is put back to what
// it was days ago and goes another way. Every snapshot that a receiver shows is the model's.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/engine/engine_node.hpp"

namespace square::sim {

struct DiffRunOptions {
  std::uint64_t seed = 1;
  std::uint64_t operations = 800;
  bool trace = false;
};

struct DiffReport {
  std::uint64_t operations = 0, snapshots = 0, drops = 0, refused_full = 0;
  std::uint64_t begun = 0, resumed = 0, arrived = 0, other_rewrites = 0, other_roots = 0;
  std::uint64_t pieces = 0, stored_bytes = 0, broken = 0;
  std::uint64_t source_crashes = 0, receiver_crashes = 0, roll_backs = 0, forks_dropped = 0;
  std::uint64_t compared = 0, rocks = 0;
  double virtual_s = 0;
  std::uint64_t events = 0, event_hash = 0;
  std::optional<std::string> violation;
};

class DiffRun {
 public:
  explicit DiffRun(DiffRunOptions options);
  DiffReport run();

 private:
  using Blocks = std::vector<std::uint64_t>;  // the token of each; 0: zeros
  using Content = std::map<VolumeId, Blocks>;
  struct Taken {
    format::SnapshotId id;
    Content content;
  };
  struct Held {  // by the store, newest last
    std::string name;
    format::SnapshotId id;
  };
  struct Image {
    std::vector<BlockMap> disks;
    Content content;
    std::map<VolumeId, std::string> names;
    std::vector<Held> held;
  };

  void trace(const std::string& what);
  void violation(std::string what);
  bool failed() const { return report_.violation.has_value(); }
  std::uint64_t dice(std::uint64_t n) { return rng_.below(n); }
  bool chance(unsigned percent) { return dice(100) < percent; }

  bool begin();
  void start(EngineNode& node);
  void crash(EngineNode& node);
  void operate();
  void operate_some(std::uint64_t max);
  void write();
  void zero();
  void create_volume();
  void purge_volume();
  void take_snapshot();
  void drop_snapshot();
  void take_image();
  void roll_back();

  void transfer(EngineNode& receiver, std::vector<EngineNode*> sources);
  enum class Step : std::uint8_t { kArrived, kAgain, kGivenUp };
  Step attempt(EngineNode& receiver, EngineNode& source, const format::SnapshotId& target);
  Step stream(EngineNode& receiver, EngineNode& source, const format::DiffHeader& wanted);
  Step refused(EngineNode& receiver, const Error& error);
  std::optional<format::SnapshotId> pick_target(EngineNode& receiver, EngineNode& source);
  bool drop_oldest(EngineNode& receiver);
  bool is_held(const format::SnapshotId& id);
  void compare(EngineNode& node, bool all);
  void compare_one(EngineNode& node, const format::SnapshotId& id);
  void check(EngineNode& node);

  std::string name_of(const EngineNode& node) const;
  Blocks& any_volume(VolumeId& id);

  DiffRunOptions options_;
  SimWorld world_;
  Rng rng_;
  std::unique_ptr<codec::KeyStore> keys_;
  EngineNode store_, backup_, remote_;
  Content content_;
  std::map<VolumeId, std::string> names_;
  std::vector<Held> held_;
  std::vector<Taken> taken_;
  std::optional<Image> image_;
  std::unique_ptr<store::DiffStream> sent_;  // goes with its source
  // A base that a source has with other rewrites is not offered again.
  std::map<const EngineNode*, std::vector<format::SnapshotId>> not_offered_;
  std::uint64_t next_token_ = 1, next_name_ = 1;
  DiffReport report_;
};

}  // namespace square::sim
