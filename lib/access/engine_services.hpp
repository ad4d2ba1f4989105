#pragma once
// The engine behind the data plane and the control plane.

#include "access/control_service.hpp"
#include "access/data_service.hpp"
#include "access/health.hpp"
#include "access/operations.hpp"

namespace square::access {

class EngineData final : public DataService {
 public:
  explicit EngineData(store::Engine& engine) : engine_(engine) {}
  Async<SessionId> open_session(format::wire::OpenSession request) override;
  Async<> end_session(format::wire::EndSession request) override;
  Async<format::wire::VolumeOpened> open_volume(format::wire::OpenVolume request) override;
  Async<> write(format::wire::Write request, Buffer data) override;
  Async<Buffer> read(format::wire::Read request) override;
  Async<> zero(format::wire::Zero request) override;
  Async<std::vector<format::wire::StatusRun>> block_status(
      format::wire::BlockStatus request) override;

 private:
  store::Engine& engine_;
};

class EngineControl final : public ControlService {
 public:
  // `node` is complete but for the epoch. `operations_file`: where long operations are listed.
  // `scrub_interval`: how often a scrub begins by itself; 0: never.
  EngineControl(env::Env env, store::Engine& engine, NodeView node, std::string operations_file,
                LogSink log, env::Duration scrub_interval);
  // Every second or so: notes what long operations have come to, and begins what is due.
  void look() {
    operations_.look();
    operations_.follow_schedule();
  }

  Async<store::VolumeInfo> create_volume(store::CreateVolume request) override;
  Async<std::vector<store::VolumeInfo>> list_volumes(bool deleted_too) override;
  Async<store::VolumeInfo> find_volume(std::string name) override;
  Async<store::VolumeInfo> resize_volume(std::string name, std::uint64_t size_bytes) override;
  Async<store::VolumeInfo> delete_volume(std::string name) override;
  Async<store::VolumeInfo> undelete_volume(std::string name) override;
  Async<> purge_volume(std::string name) override;
  Async<store::SnapshotView> create_snapshot(std::vector<std::string> volumes,
                                             std::string name) override;
  Async<std::vector<store::SnapshotView>> list_snapshots() override;
  Async<> drop_snapshot(std::string id) override;
  std::vector<pool::DiskStatus> disks() override;
  Async<> fail_disk(Slot slot, std::string why) override;
  Async<> add_disk(std::string path) override;
  Async<format::LongOperation> retire_disk(Slot slot) override;
  Async<format::LongOperation> replace_disk(Slot slot, std::string path) override;
  Async<> wipe_disk(std::string path) override;
  Result<format::LongOperation> start_scrub() override { return operations_.start_scrub(); }
  std::vector<format::LongOperation> operations() override { return operations_.list(); }
  Result<format::LongOperation> operation(std::string id) override { return operations_.find(id); }
  Result<format::LongOperation> cancel_operation(std::string id) override {
    return operations_.cancel(id);
  }
  pool::PoolStatus pool_status() override;
  Async<store::Losses> losses(std::size_t ranges_max) override;
  Async<std::string> check_pool() override;
  Async<> checkpoint() override;
  std::vector<HealthCheck> health() override;
  NodeView node() override { return node_; }
  std::vector<GroupView> groups() override;
  std::vector<Counter> counters() override;

 private:
  env::Env env_;
  store::Engine& engine_;
  NodeView node_;
  HealthHistory history_;
  Operations operations_;
};

}  // namespace square::access
