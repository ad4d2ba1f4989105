#pragma once
// What the control plane asks of a node. The daemon binds it to the engine; tests bind a fake.
// Errors as store::Engine and pool::Pool.

#include "format/operations.hpp"
#include "store/engine.hpp"

namespace square::access {

struct HealthCheck {
  std::string code;      // "SQ-DISK-FAILED": docs/health/ has a page for each
  std::string severity;  // "degraded" or "at_risk"
  std::string summary;
  std::string action;  // a command
  std::int64_t since_ns = 0;
};

struct NodeView {
  std::string name, role, state, address, version;
  std::uint32_t epoch = 0;
};

struct GroupView {
  GroupId group;
  std::string primary;
  std::uint32_t epoch = 0;
  std::uint64_t sequence = 0;  // the last one that is acknowledged
};

struct Counter {
  std::string name;  // "square_writes_total"
  double value = 0;
};

class ControlService {
 public:
  virtual ~ControlService() = default;
  virtual Async<store::VolumeInfo> create_volume(store::CreateVolume request) = 0;
  virtual Async<std::vector<store::VolumeInfo>> list_volumes(bool deleted_too) = 0;
  virtual Async<store::VolumeInfo> find_volume(std::string name) = 0;
  virtual Async<store::VolumeInfo> resize_volume(std::string name, std::uint64_t size_bytes) = 0;
  virtual Async<store::VolumeInfo> delete_volume(std::string name) = 0;
  virtual Async<store::VolumeInfo> undelete_volume(std::string name) = 0;
  virtual Async<> purge_volume(std::string name) = 0;

  virtual Async<store::SnapshotView> create_snapshot(std::vector<std::string> volumes,
                                                     std::string name) = 0;
  virtual Async<std::vector<store::SnapshotView>> list_snapshots() = 0;
  virtual Async<> drop_snapshot(std::string id) = 0;

  virtual std::vector<pool::DiskStatus> disks() = 0;
  virtual Async<> fail_disk(Slot slot, std::string why) = 0;
  virtual Async<> add_disk(std::string path) = 0;
  // Another disk takes the slot: the one at `path`, which is added as a spare first, or, where that
  // is empty, any spare.
  virtual Async<format::LongOperation> retire_disk(Slot slot) = 0;
  virtual Async<format::LongOperation> replace_disk(Slot slot, std::string path) = 0;
  virtual Async<> wipe_disk(std::string path) = 0;

  // Long operations. Errors as access::Operations.
  virtual Result<format::LongOperation> start_scrub() = 0;
  virtual std::vector<format::LongOperation> operations() = 0;
  virtual Result<format::LongOperation> operation(std::string id) = 0;
  virtual Result<format::LongOperation> cancel_operation(std::string id) = 0;

  virtual pool::PoolStatus pool_status() = 0;
  virtual Async<store::Losses> losses(std::size_t ranges_max) = 0;
  virtual Async<std::string> check_pool() = 0;
  virtual Async<> checkpoint() = 0;

  virtual std::vector<HealthCheck> health() = 0;
  virtual NodeView node() = 0;
  virtual std::vector<GroupView> groups() = 0;
  virtual std::vector<Counter> counters() = 0;
};

}  // namespace square::access
