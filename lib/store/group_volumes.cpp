// Volumes and sessions: records in the group's log.
#include "base/probe.hpp"
#include "store/group.hpp"
#include "store/request_checks.hpp"

namespace square::store {

using format::OperationType;
using format::VolumeRecord;

namespace {

constexpr unsigned kGroupShift = 40;  // one number names a volume of the whole node
constexpr std::uint64_t kCountChunkBytes = 256ull << 20;

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
  SQ_CO_TRY(check_unique(request.name));
  // The id is taken for good before the volume exists.
  const VolumeId id(std::uint64_t{id_.value} << kGroupShift | next_volume_);
  SQ_CO_TRY(co_await put_group_record(next_volume_ + 1));
  const auto key = format::volume_key(id);
  VolumeRecord record;
  record.tenant = request.tenant;
  SQ_CO_TRY(record.key, core_.keys.create_data_key(request.tenant));
  SQ_CO_TRY(record.name, seal_name(record.key, key, request.name));
  record.size_bytes = request.size_bytes;
  record.extent_bytes = request.extent_bytes;
  SQ_CO_TRY(co_await put_record(key, format::encode(record)));
  co_return info(id, {std::move(record), std::move(request.name)});
}

Async<VolumeInfo> Group::change_volume(VolumeId id, Edit edit) {
  const auto lock = co_await control_.lock();
  SQ_CO_TRY(core_.alive());
  const auto found = volumes_.find(id);
  if (found == volumes_.end()) co_return Error{Code::kNotFound, "the volume is gone"};
  auto changed = found->second;
  const auto before = changed.record;
  SQ_CO_TRY(edit(changed.record));
  SQ_CO_TRY(check_sizes(changed.record.size_bytes, changed.record.extent_bytes));
  if (before.deleted && !changed.record.deleted && changed.name)
    SQ_CO_TRY(check_unique(*changed.name));
  SQ_CO_TRY(co_await put_record(format::volume_key(id), format::encode(changed.record)));
  co_return info(id, changed);
}

Result<> Group::check_unique(const std::string& name) const {
  for (const auto& [id, volume] : volumes_)
    if (!volume.record.deleted && volume.name == name)
      return Error{Code::kExists, "a volume named '" + name + "' exists"};
  return {};
}

codec::FieldPlace Group::field_place(std::string_view record) const {
  return {core_.cell_tag(), id_, record};
}

Result<codec::SealedField> Group::seal_name(KeyId key_id, std::string_view record,
                                            const std::string& name) const {
  SQ_TRY(const auto* key, core_.keys.data_key(key_id));
  return codec::seal_field(*key, key_id, field_place(record), name, core_.env.random);
}

Result<std::optional<std::string>> Group::open_name(std::string_view record,
                                                    const codec::SealedField& name) const {
  const auto key = core_.keys.data_key(name.key);
  if (key.failed_with(Code::kNotFound)) return std::optional<std::string>{};
  SQ_TRY(const auto* data_key, key);
  SQ_TRY(auto text, codec::open_field(*data_key, field_place(record), name));
  return std::optional(std::move(text));
}

Result<VolumeInfo> Group::info(VolumeId id, const Volume& volume) const {
  const auto& record = volume.record;
  VolumeInfo out;
  out.id = id;
  out.name = shown_name(id, volume.name);
  out.tenant = record.tenant;
  out.group = id_;
  out.size_bytes = record.size_bytes;
  out.extent_bytes = record.extent_bytes;
  if (record.deleted) {
    out.state = VolumeState::kDeleted;
    out.purge_wall_ns = core_.env.loop.wall().ns + expires_ns(record) - retention_now();
  }
  for (std::uint64_t at = 0; at < record.size_bytes; at += kCountChunkBytes) {
    SQ_TRY(const auto pieces,
           map_range(id, at, std::min(kCountChunkBytes, record.size_bytes - at), shown()));
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

}  // namespace square::store
