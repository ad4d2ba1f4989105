#include "access/engine_services.hpp"

#include <algorithm>

#include "access/replacement.hpp"

namespace square::access {

namespace wire = format::wire;

namespace {

std::optional<std::string> snapshot_of(std::string text) {
  if (text.empty()) return std::nullopt;
  return text;
}

}  // namespace

Async<SessionId> EngineData::open_session(wire::OpenSession) { return engine_.open_session(); }

Async<> EngineData::end_session(wire::EndSession request) {
  return engine_.end_session(request.session);
}

Async<wire::VolumeOpened> EngineData::open_volume(wire::OpenVolume request) {
  SQ_CO_TRY(const auto volumes, co_await engine_.list_volumes(false));
  for (const auto& volume : volumes) {
    if (volume.tenant != request.tenant) continue;
    if (request.name.empty() ? volume.id != request.id : volume.name != request.name) continue;
    co_return wire::VolumeOpened{volume.id, volume.name, volume.group, volume.size_bytes,
                                 volume.extent_bytes};
  }
  co_return Error{Code::kNotFound, request.name.empty()
                                       ? "no volume " + std::to_string(request.id.value)
                                       : "no volume \"" + request.name + "\""};
}

Async<> EngineData::write(wire::Write request, Buffer data) {
  return engine_.write(request.volume, request.offset, std::move(data), std::move(request.ingest),
                       {request.session, request.number});
}

Async<Buffer> EngineData::read(wire::Read request) {
  SQ_CO_TRY(auto reply, co_await engine_.read(request.volume, request.offset, request.length,
                                              snapshot_of(std::move(request.snapshot))));
  co_return std::move(reply.data);
}

Async<> EngineData::zero(wire::Zero request) {
  return engine_.zero(request.volume, request.offset, request.length,
                      {request.session, request.number});
}

// The runs go from the offset on without gaps: the engine's list is cut at the first one.
Async<std::vector<wire::StatusRun>> EngineData::block_status(wire::BlockStatus request) {
  SQ_CO_TRY(const auto extents, co_await engine_.block_status(
                                    request.volume, request.offset, request.length,
                                    request.count_max, snapshot_of(std::move(request.snapshot))));
  std::vector<wire::StatusRun> runs;
  auto at = request.offset;
  for (const auto& extent : extents) {
    if (extent.offset != at) break;
    runs.push_back({extent.length, extent.hole});
    at += extent.length;
  }
  co_return runs;
}

EngineControl::EngineControl(env::Env env, store::Engine& engine, NodeView node,
                             std::string operations_file, LogSink log, env::Duration scrub_interval)
    : env_(env),
      engine_(engine),
      node_(std::move(node)),
      operations_(env, engine.pool(), std::move(operations_file), std::move(log),
                  ScrubSchedule(scrub_interval)) {
  const auto groups = engine_.groups();
  if (!groups.empty()) node_.epoch = groups.front().epoch;
  operations_.open();
}

Async<store::VolumeInfo> EngineControl::create_volume(store::CreateVolume request) {
  return engine_.create_volume(std::move(request));
}
Async<std::vector<store::VolumeInfo>> EngineControl::list_volumes(bool deleted_too) {
  return engine_.list_volumes(deleted_too);
}
Async<store::VolumeInfo> EngineControl::find_volume(std::string name) {
  return engine_.find_volume(std::move(name));
}
Async<store::VolumeInfo> EngineControl::resize_volume(std::string name, std::uint64_t size_bytes) {
  return engine_.resize_volume(std::move(name), size_bytes);
}
Async<store::VolumeInfo> EngineControl::delete_volume(std::string name) {
  return engine_.delete_volume(std::move(name));
}
Async<> EngineControl::purge_volume(std::string name) {
  return engine_.purge_volume(std::move(name));
}
Async<store::VolumeInfo> EngineControl::undelete_volume(std::string name) {
  return engine_.undelete_volume(std::move(name));
}
Async<store::SnapshotView> EngineControl::create_snapshot(std::vector<std::string> volumes,
                                                          std::string name) {
  return engine_.create_snapshot(std::move(volumes), std::move(name));
}
Async<std::vector<store::SnapshotView>> EngineControl::list_snapshots() {
  return engine_.list_snapshots();
}
Async<> EngineControl::drop_snapshot(std::string id) {
  return engine_.drop_snapshot(std::move(id));
}
std::vector<pool::DiskStatus> EngineControl::disks() { return engine_.pool().disks(); }
Async<> EngineControl::fail_disk(Slot slot, std::string why) {
  return engine_.pool().fail_disk(slot, std::move(why));
}
Async<> EngineControl::add_disk(std::string path) {
  SQ_CO_TRY(co_await engine_.pool().add_disk(std::move(path)));
  co_return {};
}
Async<format::LongOperation> EngineControl::retire_disk(Slot slot) {
  co_return operations_.start_replacement(kRetire, slot, std::nullopt);
}
Async<format::LongOperation> EngineControl::replace_disk(Slot slot, std::string path) {
  std::optional<DiskId> by;
  if (!path.empty()) {
    SQ_CO_TRY(by, co_await engine_.pool().add_disk(path));
  }
  auto begun = operations_.start_replacement(kReplace, slot, by);
  if (begun.ok() || !by) co_return begun;
  co_return std::move(begun).error().context(path + " is a spare now, and nothing else began");
}
Async<> EngineControl::wipe_disk(std::string path) {
  return pool::Pool::wipe_disk(env_, std::move(path));
}
pool::PoolStatus EngineControl::pool_status() { return engine_.pool().status(); }
Async<store::Losses> EngineControl::losses(std::size_t ranges_max) {
  return engine_.losses(ranges_max);
}
Async<std::string> EngineControl::check_pool() { return engine_.check(); }
Async<> EngineControl::checkpoint() { return engine_.checkpoint(); }

std::vector<HealthCheck> EngineControl::health() {
  auto checks = judge(node_.name, engine_.pool().status(), engine_.pool().disks());
  const auto lost = engine_.has_losses();
  if (!lost.ok() || *lost) checks.insert(checks.begin(), data_lost(node_.name));
  if (operations_.scrub_overdue()) checks.push_back(scrub_overdue(node_.name));
  history_.stamp(checks, env_.loop.wall().ns);
  return checks;
}

std::vector<GroupView> EngineControl::groups() {
  std::vector<GroupView> groups;
  for (const auto& group : engine_.groups())
    groups.push_back({group.id, node_.name, group.epoch, group.sequence.value});
  return groups;
}

std::vector<Counter> EngineControl::counters() {
  const auto s = engine_.stats();
  const auto d = [](auto value) { return static_cast<double>(value); };
  const auto in_flight = [&](Activity activity) {
    return d(s.in_flight[static_cast<std::size_t>(activity)]);
  };
  return {
      {"square_writes_total", d(s.writes)},
      {"square_write_bytes_total", d(s.written_bytes)},
      {"square_reads_total", d(s.reads)},
      {"square_read_bytes_total", d(s.read_bytes)},
      {"square_read_parts_unproven_total", d(s.parts_unproven)},
      {"square_holes_total", d(s.holes)},
      {"square_direct_writes_total", d(s.direct_writes)},
      {"square_destages_total", d(s.destages)},
      {"square_checkpoints_total", d(s.checkpoints)},
      {"square_moved_bytes_total", d(s.moved_bytes)},
      {"square_write_buffer_bytes", d(s.write_buffer_bytes)},
      {"square_write_buffer_max_bytes", d(s.write_buffer_bytes_max)},
      {"square_write_buffer_waiting", d(s.write_buffer_waiting)},
      {"square_room_waiting", d(s.room_waiting)},
      {"square_index_memory_bytes", d(s.index_memory_bytes)},
      {"square_journal_batches_in_flight", in_flight(Activity::kJournal)},
      {"square_destages_in_flight", in_flight(Activity::kDestage)},
      {"square_cleanings_in_flight", in_flight(Activity::kCleaning)},
      {"square_checkpoints_in_flight", in_flight(Activity::kCheckpoint)},
      {"square_recovered_operations", d(s.recovered_operations)},
      {"square_index_from_pool", d(s.index_from_pool ? 1 : 0)},
      {"square_start_seconds", s.start_seconds},
      {"square_journal_batches_total", d(s.lane.batches)},
      {"square_journal_records_total", d(s.lane.records)},
      {"square_journal_record_bytes_total", d(s.lane.record_bytes)},
      {"square_journal_written_bytes_total", d(s.lane.written_bytes)},
      {"square_journal_recopied_bytes_total", d(s.lane.recopied_bytes)},
      {"square_journal_used_bytes", d(s.lane_used_bytes)},
      {"square_journal_ring_bytes", d(s.lane_ring_bytes)},
      {"square_pool_members_live", d(s.pool.members_live)},
      {"square_pool_members_missing", d(s.pool.members_missing)},
      {"square_pool_spares_free", d(s.pool.spares_free)},
      {"square_pool_segments_thin", d(s.pool.segments_thin)},
      {"square_pool_capacity_bytes", d(s.pool.capacity_bytes)},
      {"square_pool_free_bytes", d(s.pool.free_bytes)},
      {"square_pool_corruptions_found_total", d(s.pool.corruptions_found)},
      {"square_pool_corruptions_repaired_total", d(s.pool.corruptions_repaired)},
      {"square_pool_late_reads_raced_total", d(s.pool.races)},
      {"square_pool_late_reads_raced_won_total", d(s.pool.races_won)},
      {"square_pool_written_data_bytes_total", d(s.pool.written_data_bytes)},
      {"square_pool_written_parity_bytes_total", d(s.pool.written_parity_bytes)},
      {"square_pool_written_journal_bytes_total", d(s.pool.written_journal_bytes)},
      {"square_pool_written_checkpoint_bytes_total", d(s.pool.written_checkpoint_bytes)},
      {"square_pool_written_summary_bytes_total", d(s.pool.written_summary_bytes)},
      {"square_pool_written_label_bytes_total", d(s.pool.written_label_bytes)},
      {"square_pool_written_rebuild_bytes_total", d(s.pool.written_rebuild_bytes)},
      {"square_pool_generation", d(s.pool.pool_generation)},
      {"square_rebuild_active", d(s.pool.rebuild.active ? 1 : 0)},
      {"square_rebuild_done_bytes", d(s.pool.rebuild.done_bytes)},
      {"square_rebuild_total_bytes", d(s.pool.rebuild.total_bytes)},
      {"square_rebuild_stripes_lost", d(s.pool.rebuild.stripes_lost)},
      {"square_scrub_last_good_timestamp_seconds", d(operations_.last_good_scrub_ns()) / 1e9},
      {"square_scrub_active", d(s.pool.scrub.active ? 1 : 0)},
      {"square_scrub_done_bytes", d(s.pool.scrub.done_bytes)},
      {"square_scrub_total_bytes", d(s.pool.scrub.total_bytes)},
      {"square_buffer_live_bytes", d(buffer_bytes_live())},
  };
}

}  // namespace square::access
