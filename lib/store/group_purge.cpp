// Deleted volumes: how long they can be brought back, and their end.
#include <algorithm>

#include "base/probe.hpp"
#include "store/group.hpp"

namespace square::store {

using format::OperationType;

namespace {

constexpr env::Duration kNoteEvery = std::chrono::hours(1);
constexpr env::Duration kWindowMax = std::chrono::hours(24 * 365 * 100);

}  // namespace

std::int64_t Group::retention_now() const { return clock_.now(core_.env.loop.now()); }

std::int64_t Group::expires_ns(const format::VolumeRecord& record) const {
  return record.deleted_wall_ns + std::min(core_.options.undelete_window, kWindowMax).count();
}

Async<> Group::put_group_record(std::uint64_t next_volume) {
  const format::GroupRecord record{incarnation_, next_volume, retention_now(), level_};
  SQ_CO_TRY(co_await put_record(std::string(format::kGroupKey), format::encode(record)));
  noted_ns_ = record.clock_ns;
  co_return {};
}

// The purge is logged before the record goes: a crash between the two leaves a deleted volume whose
// purge waits until nothing names it. The other order could leave mappings that nobody looks for.
Async<> Group::purge_volume(VolumeId id, bool expired_only) {
  const auto lock = co_await control_.lock();
  SQ_CO_TRY(core_.alive());
  const auto found = volumes_.find(id);
  if (found == volumes_.end() || !found->second.record.deleted ||
      (expired_only && expires_ns(found->second.record) > retention_now()))
    co_return Error{Code::kConflict, "the volume was brought back or purged meanwhile"};
  Draft purge{OperationType::kPurgeVolume, format::PurgeBody{id}, {}};
  SQ_CO_TRY(co_await log(std::move(purge)));
  Draft gone{OperationType::kDeleteRecord, format::RecordBody{format::volume_key(id), {}}, {}};
  SQ_CO_TRY(co_await log(std::move(gone)));
  SQ_PROBE("a volume was purged");
  co_return {};
}

Async<> Group::purge_expired() {
  SQ_CO_TRY(core_.alive());
  if (!serving_) co_return {};
  const auto now = retention_now();
  bool any_deleted = false;
  std::vector<VolumeId> expired;
  for (const auto& [id, volume] : volumes_) {
    if (!volume.record.deleted) continue;
    any_deleted = true;
    if (expires_ns(volume.record) <= now) expired.push_back(id);
  }
  for (const auto id : expired) {
    auto purged = co_await purge_volume(id, true);
    if (!purged.ok() && purged.code() != Code::kConflict) co_return purged;
  }
  // So that the next start knows how much of the window has passed.
  if (any_deleted && now - noted_ns_ >= kNoteEvery.count()) {
    const auto lock = co_await control_.lock();
    SQ_CO_TRY(co_await put_group_record(next_volume_));
  }
  co_return {};
}

}  // namespace square::store
