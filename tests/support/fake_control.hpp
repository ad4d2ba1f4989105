#pragma once
// A ControlService on a map of volumes.

#include <algorithm>
#include <map>

#include "access/control_service.hpp"

namespace square::test {

class FakeControl final : public access::ControlService {
 public:
  Async<store::VolumeInfo> create_volume(store::CreateVolume request) override {
    if (volumes.contains(request.name))
      co_return Error{Code::kExists, "there is a volume \"" + request.name + "\""};
    store::VolumeInfo info;
    info.id = VolumeId(volumes.size() + 1);
    info.name = request.name;
    info.tenant = request.tenant;
    info.group = request.group;
    info.size_bytes = request.size_bytes;
    info.extent_bytes = request.extent_bytes;
    volumes[request.name] = info;
    co_return info;
  }
  Async<std::vector<store::VolumeInfo>> list_volumes(bool) override {
    std::vector<store::VolumeInfo> list;
    for (const auto& [name, info] : volumes) list.push_back(info);
    co_return list;
  }
  Async<store::VolumeInfo> find_volume(std::string name) override {
    const auto found = volumes.find(name);
    if (found == volumes.end()) co_return Error{Code::kNotFound, "no volume \"" + name + "\""};
    co_return found->second;
  }
  Async<store::VolumeInfo> resize_volume(std::string name, std::uint64_t size_bytes) override {
    volumes[name].size_bytes = size_bytes;
    co_return volumes[name];
  }
  Async<store::VolumeInfo> delete_volume(std::string name) override {
    const auto found = volumes.extract(name);
    if (found.empty()) co_return Error{Code::kNotFound, "no volume"};
    auto info = found.mapped();
    info.state = store::VolumeState::kDeleted;
    info.purge_wall_ns = 1'800'000'000'000'000'000;
    co_return info;
  }
  Async<> purge_volume(std::string name) override {
    purged.push_back(name);
    co_return {};
  }
  Async<store::VolumeInfo> undelete_volume(std::string) override {
    co_return Error{Code::kNotFound, "no deleted volume"};
  }
  Async<store::SnapshotView> create_snapshot(std::vector<std::string> of,
                                             std::string name) override {
    store::SnapshotView view;
    view.id = "1-42";
    view.name = std::move(name);
    view.group = GroupId(1);
    view.volumes = std::move(of);
    co_return view;
  }
  Async<std::vector<store::SnapshotView>> list_snapshots() override {
    co_return std::vector<store::SnapshotView>();
  }
  Async<> drop_snapshot(std::string) override { co_return {}; }
  std::vector<pool::DiskStatus> disks() override {
    pool::DiskStatus disk;
    disk.path = "/dev/a";
    disk.state = pool::DiskState::kMember;
    return {disk};
  }
  Async<> fail_disk(Slot slot, std::string) override {
    failed.push_back(slot);
    co_return {};
  }
  Async<> add_disk(std::string) override { co_return {}; }
  Async<format::LongOperation> retire_disk(Slot slot) override {
    co_return replacement("retire", slot);
  }
  Async<format::LongOperation> replace_disk(Slot slot, std::string) override {
    co_return replacement("replace", slot);
  }
  static format::LongOperation replacement(const std::string& kind, Slot slot) {
    format::LongOperation operation;
    operation.id = kind + "-1";
    operation.kind = kind;
    operation.slot = slot;
    return operation;
  }
  Async<> wipe_disk(std::string) override { co_return {}; }
  Result<format::LongOperation> start_scrub() override {
    if (!scrubs.empty()) return Error{Code::kBusy, "one runs"};
    scrubs.emplace_back();
    scrubs.back().id = "scrub-1";
    scrubs.back().kind = "scrub";
    scrubs.back().total_bytes = 9;
    return scrubs.back();
  }
  std::vector<format::LongOperation> operations() override { return scrubs; }
  Result<format::LongOperation> operation(std::string id) override {
    if (!scrubs.empty() && id == scrubs.back().id) return scrubs.back();
    return Error{Code::kNotFound, "no operation \"" + id + "\""};
  }
  Result<format::LongOperation> cancel_operation(std::string id) override {
    SQ_TRY(auto scrub, operation(id));
    scrubs.back().state = format::LongOperationState::kCancelled;
    return scrubs.back();
  }
  pool::PoolStatus pool_status() override {
    pool::PoolStatus pool;
    pool.geometry.k = 8;
    pool.geometry.m = 2;
    pool.members_live = 10;
    pool.rebuild.total_bytes = 77;
    return pool;
  }
  Async<store::Losses> losses(std::size_t) override {
    store::Losses losses;
    losses.volumes = {{VolumeId(3), "orders", 2, 12288}};
    losses.ranges = {{VolumeId(3), "", 4096, 8192}, {VolumeId(3), "1-7", 0, 4096}};
    co_return losses;
  }
  Async<std::string> check_pool() override { co_return std::string("stripe 5 differs"); }
  Async<> checkpoint() override { co_return Error{Code::kDataLoss, "lost"}; }
  std::vector<access::HealthCheck> health() override {
    return {{"SQ-DISK-FAILED", "degraded", "disk 1 has failed", "square disk ls", 5}};
  }
  access::NodeView node() override { return {"n1", "primary", "serving", "127.0.0.1:1", "0", 3}; }
  std::vector<access::GroupView> groups() override { return {{GroupId(1), "n1", 3, 42}}; }
  std::vector<access::Counter> counters() override { return {{"square_writes_total", 7}}; }

  std::map<std::string, store::VolumeInfo> volumes;
  std::vector<Slot> failed;
  std::vector<std::string> purged;
  std::vector<format::LongOperation> scrubs;
};

}  // namespace square::test
