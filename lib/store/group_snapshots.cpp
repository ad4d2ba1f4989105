// Snapshots of a group: a mark in its log, and a record that names it.
#include "store/group.hpp"
#include "store/request_checks.hpp"

namespace square::store {

using format::OperationType;

Async<SnapshotView> Group::create_snapshot(std::vector<VolumeId> volumes, std::string name) {
  if (!name.empty()) SQ_CO_TRY(check_name(name));
  if (volumes.size() > format::kSnapshotVolumesMax)
    co_return Error{Code::kInvalid, "a snapshot names at most " +
                                        std::to_string(format::kSnapshotVolumesMax) + " volumes"};
  const auto lock = co_await control_.lock();
  for (const auto id : volumes) {
    const auto found = volumes_.find(id);
    if (found == volumes_.end() || found->second.record.deleted)
      co_return Error{Code::kNotFound, "a volume that the snapshot is about was deleted"};
  }
  const auto key_id = volumes_.at(volumes.front()).record.key;
  Draft draft{OperationType::kSnapshotMark, format::EmptyBody{}, {}};
  SQ_CO_TRY(const auto mark, co_await log(std::move(draft)));
  const auto key = format::snapshot_key(mark);
  format::SnapshotRecord record;
  SQ_CO_TRY(record.name, seal_name(key_id, key, name));
  record.volumes = std::move(volumes);
  SQ_CO_TRY(co_await put_record(key, format::encode(record)));
  SQ_CO_TRY(co_await wait_applied(commit_));  // mark and record
  for (const auto& held : core_.index->snapshots(id_))
    if (held.id.sequence == mark) co_return view_of(held);
  co_return Error{Code::kConflict, "the snapshot was dropped at once by somebody else"};
}

Result<std::vector<SnapshotView>> Group::list_snapshots() const {
  std::vector<SnapshotView> out;
  for (const auto& held : core_.index->snapshots(id_)) {
    SQ_TRY(auto view, view_of(held));
    out.push_back(std::move(view));
  }
  return out;
}

Result<SnapshotView> Group::view_of(const index::SnapshotInfo& held) const {
  const auto mark = held.id.sequence;
  SnapshotView view;
  view.id = std::to_string(id_.value) + "-" + std::to_string(mark.value);
  view.snapshot = held.id;
  view.group = id_;
  view.wall_ns = held.wall_ns;
  // The record follows the mark: it may still be on its way to the index.
  const auto key = format::snapshot_key(mark);
  SQ_TRY(const auto value, core_.index->record(id_, key));
  if (!value) return view;
  SQ_TRY(const auto record, format::decode_snapshot_record(*value));
  SQ_TRY(auto name, open_name(key, record.name));
  view.name = name.value_or("?");
  for (const auto id : record.volumes) {
    std::optional<std::string> volume_name;
    const auto volume_key = format::volume_key(id);
    SQ_TRY(const auto volume, core_.index->record(id_, volume_key, mark));
    if (volume) {
      SQ_TRY(const auto as_marked, format::decode_volume_record(*volume));
      SQ_TRY(volume_name, open_name(volume_key, as_marked.name));
    }
    view.volumes.push_back(shown_name(id, volume_name));
  }
  return view;
}

Async<> Group::drop_snapshot(Sequence mark) {
  const auto lock = co_await control_.lock();
  SQ_CO_TRY(co_await wait_applied(mark));
  std::optional<format::SnapshotId> id;
  for (const auto& held : core_.index->snapshots(id_))
    if (held.id.sequence == mark && !held.hidden) id = held.id;
  if (!id) co_return Error{Code::kNotFound, "there is no such snapshot"};
  Draft draft{OperationType::kDropSnapshot, format::DropBody{*id}, {}};
  SQ_CO_TRY(const auto dropped, co_await log(std::move(draft)));
  Draft record{
      OperationType::kDeleteRecord, format::RecordBody{format::snapshot_key(mark), {}}, {}};
  SQ_CO_TRY(co_await log(std::move(record)));
  co_return co_await wait_applied(dropped);
}

}  // namespace square::store
