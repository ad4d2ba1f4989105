#include "rpc/control_server.hpp"

#include <square/v1/control.grpc.pb.h>
#include "access/health.hpp"
#include "rpc/convert.hpp"

namespace square::rpc {

namespace {

using access::Action;
using access::ControlService;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

constexpr std::size_t kLostRangesMax = 1000;  // named in an answer; their number is always told

// ---- what each call does, on the loop. Request and reply live until the call is finished.

Result<> check_node(ControlService& service, const std::string& node) {
  const auto name = service.node().name;
  if (node.empty() || node == name) return {};
  return Error{Code::kNotFound, "no node \"" + node + "\": this is \"" + name + "\""};
}

Async<> create_volume(ControlService& s, const v1::CreateVolumeRequest& q, v1::Volume& r) {
  store::CreateVolume request;
  request.name = q.name();
  request.size_bytes = q.size_bytes();
  if (q.extent_bytes() != 0) request.extent_bytes = q.extent_bytes();
  if (q.tenant() != 0) request.tenant = TenantId(q.tenant());
  if (q.group() != 0) request.group = GroupId(q.group());
  SQ_CO_TRY(const auto volume, co_await s.create_volume(std::move(request)));
  fill(volume, r);
  co_return {};
}

Async<> list_volumes(ControlService& s, const v1::ListVolumesRequest& q, v1::VolumeList& r) {
  SQ_CO_TRY(const auto volumes, co_await s.list_volumes(q.deleted_too()));
  for (const auto& volume : volumes) fill(volume, *r.add_volumes());
  co_return {};
}

Async<> show_volume(ControlService& s, const v1::VolumeName& q, v1::Volume& r) {
  SQ_CO_TRY(const auto volume, co_await s.find_volume(q.name()));
  fill(volume, r);
  co_return {};
}

Async<> resize_volume(ControlService& s, const v1::ResizeVolumeRequest& q, v1::Volume& r) {
  SQ_CO_TRY(const auto volume, co_await s.resize_volume(q.name(), q.size_bytes()));
  fill(volume, r);
  co_return {};
}

Async<> delete_volume(ControlService& s, const v1::VolumeName& q, v1::Volume& r) {
  SQ_CO_TRY(const auto volume, co_await s.delete_volume(q.name()));
  fill(volume, r);
  co_return {};
}

Async<> undelete_volume(ControlService& s, const v1::VolumeName& q, v1::Volume& r) {
  SQ_CO_TRY(const auto volume, co_await s.undelete_volume(q.name()));
  fill(volume, r);
  co_return {};
}

Async<> purge_volume(ControlService& s, const v1::VolumeName& q, v1::Empty&) {
  return s.purge_volume(q.name());
}

Async<> create_snapshot(ControlService& s, const v1::CreateSnapshotRequest& q, v1::Snapshot& r) {
  std::vector<std::string> volumes(q.volumes().begin(), q.volumes().end());
  SQ_CO_TRY(const auto snapshot, co_await s.create_snapshot(std::move(volumes), q.name()));
  fill(snapshot, r);
  co_return {};
}

Async<> list_snapshots(ControlService& s, const v1::Empty&, v1::SnapshotList& r) {
  SQ_CO_TRY(const auto snapshots, co_await s.list_snapshots());
  for (const auto& snapshot : snapshots) fill(snapshot, *r.add_snapshots());
  co_return {};
}

Async<> drop_snapshot(ControlService& s, const v1::SnapshotName& q, v1::Empty&) {
  return s.drop_snapshot(q.id());
}

Async<> list_disks(ControlService& s, const v1::NodeName& q, v1::DiskList& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  for (const auto& disk : s.disks()) fill(s.node().name, disk, *r.add_disks());
  co_return {};
}

Async<> fail_disk(ControlService& s, const v1::DiskRequest& q, v1::Empty&) {
  SQ_CO_TRY(check_node(s, q.node()));
  if (q.slot() > 0xffff) co_return Error{Code::kNotFound, "no such slot"};
  SQ_CO_TRY(co_await s.fail_disk(Slot(static_cast<std::uint16_t>(q.slot())), "failed by hand"));
  co_return {};
}

Async<> add_disk(ControlService& s, const v1::AddDiskRequest& q, v1::Empty&) {
  SQ_CO_TRY(check_node(s, q.node()));
  SQ_CO_TRY(co_await s.add_disk(q.path()));
  co_return {};
}

Async<> retire_disk(ControlService& s, const v1::DiskRequest& q, v1::Operation& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  if (q.slot() > 0xffff) co_return Error{Code::kNotFound, "no such slot"};
  SQ_CO_TRY(const auto operation,
            co_await s.retire_disk(Slot(static_cast<std::uint16_t>(q.slot()))));
  fill(s.node().name, operation, r);
  co_return {};
}

Async<> replace_disk(ControlService& s, const v1::ReplaceDiskRequest& q, v1::Operation& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  if (q.slot() > 0xffff) co_return Error{Code::kNotFound, "no such slot"};
  const Slot slot(static_cast<std::uint16_t>(q.slot()));
  SQ_CO_TRY(const auto operation, co_await s.replace_disk(slot, q.path()));
  fill(s.node().name, operation, r);
  co_return {};
}

Async<> wipe_disk(ControlService& s, const v1::AddDiskRequest& q, v1::Empty&) {
  SQ_CO_TRY(check_node(s, q.node()));
  SQ_CO_TRY(co_await s.wipe_disk(q.path()));
  co_return {};
}

Async<> start_scrub(ControlService& s, const v1::NodeName& q, v1::Operation& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  SQ_CO_TRY(const auto operation, s.start_scrub());
  fill(s.node().name, operation, r);
  co_return {};
}

Async<> list_operations(ControlService& s, const v1::NodeName& q, v1::OperationList& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  for (const auto& operation : s.operations()) fill(s.node().name, operation, *r.add_operations());
  co_return {};
}

Async<> show_operation(ControlService& s, const v1::OperationName& q, v1::Operation& r) {
  SQ_CO_TRY(const auto operation, s.operation(q.id()));
  fill(s.node().name, operation, r);
  co_return {};
}

Async<> cancel_operation(ControlService& s, const v1::OperationName& q, v1::Operation& r) {
  SQ_CO_TRY(const auto operation, s.cancel_operation(q.id()));
  fill(s.node().name, operation, r);
  co_return {};
}

Async<> ok_to_pull_disk(ControlService& s, const v1::DiskRequest& q, v1::Empty&) {
  SQ_CO_TRY(check_node(s, q.node()));
  if (q.slot() > 0xffff) co_return Error{Code::kNotFound, "no such slot"};
  SQ_CO_TRY(access::ok_to_pull(s.disks(), Slot(static_cast<std::uint16_t>(q.slot()))));
  co_return {};
}

Async<> pool_status(ControlService& s, const v1::NodeName& q, v1::Pool& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  fill(s.node().name, s.pool_status(), s.disks(), r);
  SQ_CO_TRY(const auto losses, co_await s.losses(kLostRangesMax));
  fill(losses, r);
  co_return {};
}

Async<> check_pool(ControlService& s, const v1::NodeName& q, v1::PoolCheck& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  SQ_CO_TRY(auto differences, co_await s.check_pool());
  r.set_differences(std::move(differences));
  co_return {};
}

Async<> checkpoint(ControlService& s, const v1::NodeName& q, v1::Empty&) {
  SQ_CO_TRY(check_node(s, q.node()));
  SQ_CO_TRY(co_await s.checkpoint());
  co_return {};
}

Async<> health(ControlService& s, const v1::Empty&, v1::HealthReport& r) {
  const auto checks = s.health();
  r.set_health(access::overall(checks));
  for (const auto& check : checks) fill(check, *r.add_checks());
  co_return {};
}

Async<> list_nodes(ControlService& s, const v1::Empty&, v1::NodeList& r) {
  fill(s.node(), *r.add_nodes());
  co_return {};
}

Async<> list_groups(ControlService& s, const v1::Empty&, v1::GroupList& r) {
  for (const auto& group : s.groups()) {
    auto* out = r.add_groups();
    out->set_group(group.group.value);
    out->set_primary(group.primary);
    out->set_epoch(group.epoch);
    out->set_sequence(group.sequence);
  }
  co_return {};
}

Async<> counters(ControlService& s, const v1::NodeName& q, v1::CounterList& r) {
  SQ_CO_TRY(check_node(s, q.node()));
  for (const auto& counter : s.counters()) {
    auto* out = r.add_counters();
    out->set_name(counter.name);
    out->set_value(counter.value);
  }
  co_return {};
}

}  // namespace

class ControlServer::Impl final : public v1::Control::CallbackService {
 public:
  Impl(env::Loop& loop, ControlService& service, ServerOptions options, LogSink log)
      : calls(loop, std::move(options), std::move(log)), service_(service) {}

  LoopCalls calls;

  // One line per call: its rights, and what does it.
#define SQ_CONTROL_CALL(Name, Request, Reply, action, function)                        \
  ServerUnaryReactor* Name(CallbackServerContext* context, const v1::Request* request, \
                           v1::Reply* reply) override {                                \
    return calls.run(#Name, context, action,                                           \
                     [=, this] { return function(service_, *request, *reply); });      \
  }
  SQ_CONTROL_CALL(CreateVolume, CreateVolumeRequest, Volume, Action::kControl, create_volume)
  SQ_CONTROL_CALL(ListVolumes, ListVolumesRequest, VolumeList, Action::kView, list_volumes)
  SQ_CONTROL_CALL(ShowVolume, VolumeName, Volume, Action::kView, show_volume)
  SQ_CONTROL_CALL(ResizeVolume, ResizeVolumeRequest, Volume, Action::kControl, resize_volume)
  SQ_CONTROL_CALL(DeleteVolume, VolumeName, Volume, Action::kControl, delete_volume)
  SQ_CONTROL_CALL(UndeleteVolume, VolumeName, Volume, Action::kControl, undelete_volume)
  SQ_CONTROL_CALL(PurgeVolume, VolumeName, Empty, Action::kControl, purge_volume)
  SQ_CONTROL_CALL(CreateSnapshot, CreateSnapshotRequest, Snapshot, Action::kControl,
                  create_snapshot)
  SQ_CONTROL_CALL(ListSnapshots, Empty, SnapshotList, Action::kView, list_snapshots)
  SQ_CONTROL_CALL(DropSnapshot, SnapshotName, Empty, Action::kControl, drop_snapshot)
  SQ_CONTROL_CALL(ListDisks, NodeName, DiskList, Action::kView, list_disks)
  SQ_CONTROL_CALL(FailDisk, DiskRequest, Empty, Action::kControl, fail_disk)
  SQ_CONTROL_CALL(AddDisk, AddDiskRequest, Empty, Action::kControl, add_disk)
  SQ_CONTROL_CALL(RetireDisk, DiskRequest, Operation, Action::kControl, retire_disk)
  SQ_CONTROL_CALL(ReplaceDisk, ReplaceDiskRequest, Operation, Action::kControl, replace_disk)
  SQ_CONTROL_CALL(OkToPullDisk, DiskRequest, Empty, Action::kView, ok_to_pull_disk)
  SQ_CONTROL_CALL(WipeDisk, AddDiskRequest, Empty, Action::kControl, wipe_disk)
  SQ_CONTROL_CALL(StartScrub, NodeName, Operation, Action::kControl, start_scrub)
  SQ_CONTROL_CALL(ListOperations, NodeName, OperationList, Action::kView, list_operations)
  SQ_CONTROL_CALL(ShowOperation, OperationName, Operation, Action::kView, show_operation)
  SQ_CONTROL_CALL(CancelOperation, OperationName, Operation, Action::kControl, cancel_operation)
  SQ_CONTROL_CALL(PoolStatus, NodeName, Pool, Action::kView, pool_status)
  SQ_CONTROL_CALL(CheckPool, NodeName, PoolCheck, Action::kControl, check_pool)
  SQ_CONTROL_CALL(Checkpoint, NodeName, Empty, Action::kControl, checkpoint)
  SQ_CONTROL_CALL(Health, Empty, HealthReport, Action::kView, health)
  SQ_CONTROL_CALL(ListNodes, Empty, NodeList, Action::kView, list_nodes)
  SQ_CONTROL_CALL(ListGroups, Empty, GroupList, Action::kView, list_groups)
  SQ_CONTROL_CALL(Counters, NodeName, CounterList, Action::kView, counters)
#undef SQ_CONTROL_CALL

 private:
  ControlService& service_;
};

ControlServer::ControlServer(env::Loop& loop, access::ControlService& service,
                             ServerOptions options, LogSink log)
    : impl_(std::make_unique<Impl>(loop, service, std::move(options), std::move(log))) {}
ControlServer::~ControlServer() = default;
Result<> ControlServer::start(std::shared_ptr<grpc::ServerCredentials> credentials) {
  return impl_->calls.listen(*impl_, std::move(credentials));
}
const std::string& ControlServer::address() const { return impl_->calls.address(); }
std::size_t ControlServer::calls() const { return impl_->calls.calls(); }
Task<void> ControlServer::stop() { return impl_->calls.stop(); }

}  // namespace square::rpc
