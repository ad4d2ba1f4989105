#include "rpc/convert.hpp"

#include <algorithm>

namespace square::rpc {

void fill(const store::VolumeInfo& volume, v1::Volume& out) {
  out.set_id(volume.id.value);
  out.set_name(volume.name);
  out.set_tenant(volume.tenant.value);
  out.set_group(volume.group.value);
  out.set_size_bytes(volume.size_bytes);
  out.set_used_bytes(volume.used_bytes);
  out.set_extent_bytes(volume.extent_bytes);
  out.set_state(volume.state == store::VolumeState::kReady ? "ready" : "deleted");
  out.set_purge_ns(volume.purge_wall_ns);
}

void fill(const store::SnapshotView& snapshot, v1::Snapshot& out) {
  out.set_id(snapshot.id);
  out.set_name(snapshot.name);
  out.set_group(snapshot.group.value);
  out.set_wall_ns(snapshot.wall_ns);
  for (const auto& volume : snapshot.volumes) out.add_volumes(volume);
}

void fill(const std::string& node, const pool::DiskStatus& disk, v1::Disk& out) {
  out.set_node(node);
  out.set_slot(disk.slot.value);
  out.set_uuid(disk.id.to_string());
  out.set_path(disk.path);
  out.set_state(std::string(pool::disk_state_name(disk.state)));
  out.set_why(disk.why);
  out.set_size_bytes(disk.size_bytes);
  out.set_live_bytes(disk.live_bytes);
  out.set_read_errors(disk.read_errors);
  out.set_write_errors(disk.write_errors);
  out.set_corruptions(disk.corruptions);
}

namespace {

void fill(const pool::RepairStatus& repair, v1::Repair& out) {
  out.set_active(repair.active);
  out.set_done_bytes(repair.done_bytes);
  out.set_total_bytes(repair.total_bytes);
  out.set_bytes_per_s(repair.bytes_per_s);
  out.set_eta_s(repair.eta_s);
  out.set_stripes_lost(repair.stripes_lost);
}

}  // namespace

void fill(const std::string& node, const pool::PoolStatus& pool,
          const std::vector<pool::DiskStatus>& disks, v1::Pool& out) {
  out.set_node(node);
  out.set_k(pool.geometry.k);
  out.set_m(pool.geometry.m);
  out.set_members_live(pool.members_live);
  out.set_members_missing(pool.members_missing);
  out.set_members_rebuilding(static_cast<std::uint32_t>(
      std::ranges::count(disks, pool::DiskState::kRebuilding, &pool::DiskStatus::state)));
  out.set_spares_free(pool.spares_free);
  out.set_capacity_bytes(pool.capacity_bytes);
  out.set_free_bytes(pool.free_bytes);
  out.set_segments_thin(pool.segments_thin);
  out.set_corruptions_found(pool.corruptions_found);
  out.set_corruptions_repaired(pool.corruptions_repaired);
  fill(pool.rebuild, *out.mutable_rebuild());
  fill(pool.scrub, *out.mutable_scrub());
}

void fill(const store::Losses& losses, v1::Pool& out) {
  for (const auto& volume : losses.volumes) {
    auto& to = *out.add_lost_volumes();
    to.set_id(volume.volume.value);
    to.set_name(volume.name);
    to.set_ranges(volume.ranges);
    to.set_bytes(volume.bytes);
  }
  for (const auto& range : losses.ranges) {
    auto& to = *out.add_lost_ranges();
    to.set_volume(range.volume.value);
    to.set_snapshot(range.snapshot);
    to.set_offset(range.offset);
    to.set_length(range.length);
  }
}

void fill(const std::string& node, const format::LongOperation& operation, v1::Operation& out) {
  out.set_id(operation.id);
  out.set_kind(operation.kind);
  out.set_node(node);
  out.set_state(std::string(format::operation_state_name(operation.state)));
  out.set_message(operation.message);
  out.set_began_ns(operation.began_wall_ns);
  out.set_ended_ns(operation.ended_wall_ns);
  out.set_restarts(operation.restarts);
  out.set_done_bytes(operation.done_bytes);
  out.set_total_bytes(operation.total_bytes);
  out.set_corruptions_found(operation.corruptions_found);
  out.set_corruptions_repaired(operation.corruptions_repaired);
  out.set_stripes_lost(operation.stripes_lost);
}

void fill(const access::HealthCheck& check, v1::HealthCheck& out) {
  out.set_code(check.code);
  out.set_severity(check.severity);
  out.set_summary(check.summary);
  out.set_action(check.action);
  out.set_since_ns(check.since_ns);
}

void fill(const access::NodeView& node, v1::Node& out) {
  out.set_node(node.name);
  out.set_role(node.role);
  out.set_state(node.state);
  out.set_epoch(node.epoch);
  out.set_address(node.address);
  out.set_version(node.version);
}

}  // namespace square::rpc
