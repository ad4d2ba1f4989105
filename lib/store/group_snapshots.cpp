// Snapshots of a group: a mark in its log, and a record that names it.
#include "base/probe.hpp"
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
  // It could not be read at before there is room again.
  if (core_.no_room) co_return *core_.no_room;
  for (const auto id : volumes) {
    const auto found = volumes_.find(id);
    if (found == volumes_.end() || found->second.record.deleted)
      co_return Error{Code::kNotFound, "a volume that the snapshot is about was deleted"};
  }
  const auto key_id = volumes_.at(volumes.front()).record.key;
  SnapshotView view;
  view.group = id_;
  for (const auto id : volumes) view.volumes.push_back(shown_name(id, volumes_.at(id).name));
  // From here to the second submission nothing else runs: mark and record follow one another.
  auto key = format::snapshot_key(last_.next());
  format::SnapshotRecord record;
  SQ_CO_TRY(record.name, seal_name(key_id, key, name));
  record.volumes = std::move(volumes);
  SQ_CO_TRY(const auto marked, submit({OperationType::kSnapshotMark, format::EmptyBody{}, {}}));
  const auto named = submit(
      {OperationType::kPutRecord, format::RecordBody{std::move(key), format::encode(record)}, {}});
  SQ_CO_TRY(co_await committed(marked));
  if (named.ok()) SQ_CO_TRY(co_await committed(*named));
  const auto& mark = marked->operation;
  view.id = shown_id(mark.sequence);
  view.snapshot = {mark.incarnation, mark.epoch, mark.sequence, mark.chain};
  view.wall_ns = mark.wall_ns;
  if (!named.ok())
    co_return Error{Code::kOutcomeUnknown,
                    "snapshot " + view.id + " is there without its name: " + named.error().message};
  view.name = std::move(name);
  SQ_CO_TRY(co_await applied_if_possible((*named)->operation.sequence));
  co_return view;
}

// For what is logged, and so done: a full pool only makes it show later.
Async<> Group::applied_if_possible(Sequence sequence) {
  const auto applied = co_await wait_applied(sequence);
  if (!applied.failed_with(Code::kNoSpace)) co_return applied;
  SQ_PROBE("the index could not take a snapshot's mark or drop yet");
  co_return {};
}

std::string Group::shown_id(Sequence mark) const {
  return std::to_string(id_.value) + "-" + std::to_string(mark.value);
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
  view.id = shown_id(mark);
  view.snapshot = held.id;
  view.group = id_;
  view.wall_ns = held.wall_ns;
  // The record follows the mark: it may still be on its way to the index, or come with the next
  // diff.
  const auto key = format::snapshot_key(mark);
  SQ_TRY(const auto value, core_.index->record(id_, key, shown()));
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
  if (core_.pinned.contains({id_, mark}))
    co_return Error{Code::kBusy, "a diff that needs snapshot " + shown_id(mark) + " is being sent"};
  SQ_CO_TRY(const auto dropped, submit({OperationType::kDropSnapshot, format::DropBody{*id}, {}}));
  const auto unnamed = submit(
      {OperationType::kDeleteRecord, format::RecordBody{format::snapshot_key(mark), {}}, {}});
  SQ_CO_TRY(co_await committed(dropped));
  if (unnamed.ok()) SQ_CO_TRY(co_await committed(*unnamed));
  co_return co_await applied_if_possible(dropped->operation.sequence);
}

}  // namespace square::store
