// Volumes, sessions and snapshots: records and marks in the group's log.
#include <algorithm>
#include <limits>

#include "base/probe.hpp"
#include "store/group.hpp"

namespace square::store {

using format::OperationType;
using format::VolumeRecord;

namespace {

constexpr std::uint64_t kVolumeBytesMax = 256ull << 40;
constexpr std::size_t kNameBytesMax = 128;
constexpr unsigned kGroupShift = 40;  // one number names a volume of the whole node
constexpr std::uint64_t kCountChunkBytes = 256ull << 20;

bool name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Result<> check_name(const std::string& name) {
  const bool ok = !name.empty() && name.size() <= kNameBytesMax &&
                  std::all_of(name.begin(), name.end(), name_character) &&
                  std::string_view(".-_").find(name.front()) == std::string_view::npos;
  if (ok) return {};
  return Error{Code::kInvalid, "'" + name +
                                   "' is not a name: use 1 to 128 letters, digits, '.', '_' and "
                                   "'-', beginning with a letter or digit"};
}

Result<> check_sizes(std::uint64_t size_bytes, std::uint32_t extent_bytes) {
  if (size_bytes == 0 || size_bytes % kBlockBytes != 0 || size_bytes > kVolumeBytesMax)
    return Error{Code::kInvalid, "a volume's size is a multiple of 4 KiB, up to 256 TiB"};
  if (extent_bytes < kBlockBytes || extent_bytes > format::kOperationBytesMax ||
      (extent_bytes & (extent_bytes - 1)) != 0)
    return Error{Code::kInvalid, "an extent size is a power of two from 4 KiB to 1 MiB"};
  return {};
}

}  // namespace

Async<VolumeInfo> Group::create_volume(CreateVolume request) {
  SQ_CO_TRY(check_name(request.name));
  SQ_CO_TRY(check_sizes(request.size_bytes, request.extent_bytes));
  // So that it fits into the narrowest stripe, however many members are missing.
  if (request.extent_bytes > core_.pool->geometry().chunk_bytes / 2)
    co_return Error{Code::kInvalid, "an extent may be half a chunk of this pool at most: " +
                                        std::to_string(core_.pool->geometry().chunk_bytes >> 11) +
                                        " KiB"};
  const auto lock = co_await control_.lock();
  SQ_CO_TRY(core_.alive());
  for (const auto& [id, record] : volumes_)
    if (!record.deleted && record.name == request.name)
      co_return Error{Code::kExists, "a volume named '" + request.name + "' exists"};
  // The id is taken for good before the volume exists.
  const VolumeId id(std::uint64_t{id_.value} << kGroupShift | next_volume_);
  const format::GroupRecord group{incarnation_, next_volume_ + 1};
  SQ_CO_TRY(co_await put_record(std::string(format::kGroupKey), format::encode(group)));
  VolumeRecord record;
  record.name = request.name;
  record.tenant = request.tenant;
  SQ_CO_TRY(record.key, core_.keys.create_data_key(request.tenant));
  record.size_bytes = request.size_bytes;
  record.extent_bytes = request.extent_bytes;
  SQ_CO_TRY(co_await put_record(format::volume_key(id), format::encode(record)));
  co_return info(id, record);
}

Async<VolumeInfo> Group::change_volume(VolumeId id, VolumeRecord record) {
  SQ_CO_TRY(check_sizes(record.size_bytes, record.extent_bytes));
  const auto lock = co_await control_.lock();
  SQ_CO_TRY(core_.alive());
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) co_return Error{Code::kNotFound, "the volume is gone"};
  if (record.size_bytes < found->second.size_bytes)
    co_return Error{Code::kInvalid, "a volume cannot shrink; it has " +
                                        std::to_string(found->second.size_bytes) + " bytes"};
  for (const auto& [other, has] : volumes_)
    if (other != id && !has.deleted && !record.deleted && has.name == record.name)
      co_return Error{Code::kExists, "a volume named '" + record.name + "' exists"};
  SQ_CO_TRY(co_await put_record(format::volume_key(id), format::encode(record)));
  co_return info(id, record);
}

Result<VolumeInfo> Group::info(VolumeId id, const VolumeRecord& record) const {
  VolumeInfo out;
  out.id = id;
  out.name = record.name;
  out.tenant = record.tenant;
  out.group = id_;
  out.size_bytes = record.size_bytes;
  out.extent_bytes = record.extent_bytes;
  out.state = record.deleted ? VolumeState::kDeleted : VolumeState::kReady;
  for (std::uint64_t at = 0; at < record.size_bytes; at += kCountChunkBytes) {
    SQ_TRY(const auto pieces,
           map_range(id, at, std::min(kCountChunkBytes, record.size_bytes - at), std::nullopt));
    for (const auto& piece : pieces)
      if (!piece.hole) out.used_bytes += piece.length;
  }
  return out;
}

Async<> Group::open_session(SessionId session) {
  SQ_CO_TRY(core_.alive());
  while (sessions_.size() >= kSessionsMax) {
    // A client that went without a word. If it comes back, it is told that the outcome of what it
    // asks again is not known, and opens another session.
    const auto idlest = sessions_.idlest();
    if (!idlest)
      co_return Error{Code::kBusy, "the session table is full: " + std::to_string(kSessionsMax) +
                                       " clients have requests under way"};
    SQ_PROBE("the session that was idle longest is ended");
    auto ended = co_await end_session(*idlest);
    if (!ended.ok() && ended.code() != Code::kNotFound) co_return ended;
  }
  const format::SessionRecord record{core_.env.loop.wall().ns};
  SQ_CO_TRY(co_await put_record(format::session_key(session), format::encode(record)));
  co_return {};
}

Async<> Group::end_session(SessionId session) {
  if (!sessions_.known(session)) co_return Error{Code::kNotFound, "the session is not known"};
  sessions_.close(session);
  while (const auto flight = sessions_.flight_of(session)) co_await flight->ended.wait();
  // Known by its record or by its window until both are gone: never as a session without a past.
  Draft gone{
      OperationType::kDeleteRecord, format::RecordBody{format::session_key(session), {}}, {}};
  SQ_CO_TRY(co_await log(std::move(gone)));
  Draft draft{OperationType::kSessionEnd, format::SessionEndBody{session}, {}};
  SQ_CO_TRY(co_await log(std::move(draft)));
  co_return {};
}

Async<SnapshotView> Group::create_snapshot(std::vector<std::string> names, std::string name) {
  if (!name.empty()) SQ_CO_TRY(check_name(name));
  const auto lock = co_await control_.lock();
  Draft draft{OperationType::kSnapshotMark, format::EmptyBody{}, {}};
  SQ_CO_TRY(const auto mark, co_await log(std::move(draft)));
  format::SnapshotRecord record{std::move(name), std::move(names)};
  SQ_CO_TRY(co_await put_record(format::snapshot_key(mark), format::encode(record)));
  SQ_CO_TRY(co_await wait_applied(commit_));  // mark and record
  SQ_CO_TRY(const auto all, list_snapshots());
  for (const auto& view : all)
    if (view.snapshot.sequence == mark) co_return view;
  co_return Error{Code::kConflict, "the snapshot was dropped at once by somebody else"};
}

Result<std::vector<SnapshotView>> Group::list_snapshots() {
  std::vector<SnapshotView> out;
  for (const auto& held : core_.index->snapshots(id_)) {
    if (held.hidden) continue;
    SnapshotView view;
    view.id = std::to_string(id_.value) + "-" + std::to_string(held.id.sequence.value);
    view.snapshot = held.id;
    view.group = id_;
    view.wall_ns = held.wall_ns;
    // The record follows the mark: it may still be on its way to the index.
    SQ_TRY(const auto value, core_.index->record(id_, format::snapshot_key(held.id.sequence)));
    if (value) {
      SQ_TRY(auto record, format::decode_snapshot_record(*value));
      view.name = std::move(record.name);
      view.volumes = std::move(record.volumes);
    }
    out.push_back(std::move(view));
  }
  return out;
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
