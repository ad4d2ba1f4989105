#pragma once
// One simulated storage node: its disks, its index storage, its keys, and the engine that is
// running on them now, if one is.

#include <memory>
#include <string>
#include <vector>

#include "sim/engine/index_storage.hpp"
#include "sim/engine/nonce_watch.hpp"
#include "sim/env/sim_process.hpp"
#include "store/engine.hpp"

namespace square::sim {

struct NodeShape {
  std::uint8_t k = 8, m = 2, spares = 2;
  std::uint64_t disk_bytes = 24u << 20;
  std::uint32_t chunk_bytes = 256u << 10;
  std::uint64_t journal_bytes = 8u << 20;
  std::uint32_t groups = 1;
  std::uint64_t write_buffer_bytes = 2u << 20;
  std::uint32_t direct_bytes_min = 128u << 10;
  env::Duration checkpoint_interval = std::chrono::milliseconds(200);
  bool rocks = false;     // the index in RocksDB, not in the ordered map
  bool receives = false;  // diffs, and no operations
};

class EngineNode {
 public:
  EngineNode(SimWorld& world, NodeShape shape, std::string name = "n1");
  ~EngineNode();

  const NodeShape& shape() const { return shape_; }
  SimProcess& process() { return process_; }
  store::Engine* engine() { return engine_.get(); }
  // Of the disks that the node was made with.
  const std::vector<std::string>& paths() const { return paths_; }
  SimMedium& medium(std::size_t disk) { return process_.disks().at(paths_[disk]); }
  // One more path that it looks at when it starts: nothing is there by itself.
  static const std::string& extra_path();

  Result<> format();
  Result<std::unique_ptr<codec::KeyStore>> open_keys();
  // From the next start on these, not its own: it opens what another one has sealed.
  void use_keys(codec::KeyStore& keys) { lent_keys_ = &keys; }
  // Nothing when the process crashed meanwhile (a fault armed for that): then crash_now() was done.
  std::optional<Result<>> start();
  // Ends the process; the index falls back to its first `index_states` flushed states.
  void crash(CrashKind kind, std::size_t index_states);
  void stop();
  std::size_t index_states() const { return index_->states(); }
  const NonceWatch& nonces() const { return nonces_; }

 private:
  void drop();
  NodeShape shape_;
  SimProcess& process_;
  std::vector<std::string> paths_;
  std::unique_ptr<IndexStorage> index_;
  NonceWatch nonces_;
  std::unique_ptr<codec::KeyStore> keys_;
  codec::KeyStore* lent_keys_ = nullptr;
  std::unique_ptr<store::Engine> engine_;
};

}  // namespace square::sim
