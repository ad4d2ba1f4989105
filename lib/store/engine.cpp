#include "store/engine.hpp"

#include <algorithm>
#include <charconv>

#include "base/probe.hpp"
#include "store/engine_impl.hpp"

namespace square::store {

namespace {

constexpr int kOpenAttemptsMax = 8;

}  // namespace

Result<> Engine::Impl::enter() const {
  if (stopping_) return Error{Code::kUnavailable, "the engine is stopping"};
  return core_.alive();
}

Result<> Engine::Impl::enter_changing() const {
  if (core_.options.receives)
    return Error{Code::kConflict,
                 "this store holds snapshots of another one: they can be read, nothing changed"};
  return enter();
}

Result<Group*> Engine::Impl::group_of(GroupId id) {
  const auto found = groups_.find(id);
  if (found == groups_.end())
    return Error{Code::kNotFound, "there is no group " + std::to_string(id.value)};
  return found->second.get();
}

Result<Group*> Engine::Impl::group_of(VolumeId volume) {
  for (auto& [id, each] : groups_)
    if (each->volumes().contains(volume)) return each.get();
  return Error{Code::kNotFound, "there is no volume " + std::to_string(volume.value)};
}

Result<Engine::Impl::Found> Engine::Impl::find_volume(const std::string& name, bool deleted) {
  std::optional<Found> newest;  // several of one name may be deleted: the last of them
  for (auto& [group_id, each] : groups_) {
    for (const auto& [id, volume] : each->volumes()) {
      if (volume.name != name || volume.record.deleted != deleted) continue;
      if (!newest || volume.record.deleted_wall_ns >= newest->volume->record.deleted_wall_ns)
        newest = Found{each.get(), id, &volume};
    }
  }
  if (newest) return *newest;
  return Error{Code::kNotFound, std::string("there is no ") + (deleted ? "deleted " : "") +
                                    "volume named '" + name + "'"};
}

Result<Engine::Impl::At> Engine::Impl::parse_snapshot(const std::string& id) {
  std::uint32_t group = 0;
  std::uint64_t sequence = 0;
  const auto* end = id.data() + id.size();
  const auto first = std::from_chars(id.data(), end, group);
  const bool dash = first.ec == std::errc{} && first.ptr != end && *first.ptr == '-';
  const auto second = dash ? std::from_chars(first.ptr + 1, end, sequence) : first;
  if (!dash || second.ec != std::errc{} || second.ptr != end)
    return Error{Code::kInvalid, "'" + id + "' is not a snapshot id (see: square snapshot ls)"};
  SQ_TRY(auto* of, group_of(GroupId(group)));
  return At{of, Sequence(sequence)};
}

Result<Engine::Impl::At> Engine::Impl::reading_of(VolumeId volume,
                                                  const std::optional<std::string>& snapshot) {
  if (snapshot) return parse_snapshot(*snapshot);
  SQ_TRY(auto* group, group_of(volume));
  return At{group, std::nullopt};
}

Result<std::optional<format::StripeDescriptor>> Engine::Impl::find(SegmentId segment,
                                                                   format::Generation generation,
                                                                   std::uint32_t stripe_block) {
  return core_.index->find_stripe(segment, generation, stripe_block);
}

Result<std::vector<format::StripeDescriptor>> Engine::Impl::in_segment(SegmentId segment) {
  return core_.index->stripes_in(segment);
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Async<std::unique_ptr<Engine>> Engine::open(env::Env env, EngineOptions options,
                                            index::KvFactory& index_files, codec::KeyStore& keys) {
  // The local index is a copy of what checkpoint and journal hold. One that turns out to be damaged
  // is left aside, and everything begins anew without it. So it does when the journal turns out to
  // be another one than was read: nothing was shown or logged yet.
  bool with_local_index = true;
  for (int attempt = 1;; ++attempt) {
    std::unique_ptr<Engine> engine(
        new Engine(std::make_unique<Impl>(env, options, index_files, keys, with_local_index)));
    auto opened = co_await engine->impl_->open();
    if (opened.ok()) co_return engine;
    const bool index_failed = engine->impl_->local_index_failed();
    const bool journal_changed = engine->impl_->journal_changed();
    co_await engine->impl_->stop();
    if ((!index_failed && !journal_changed) || attempt == kOpenAttemptsMax)
      co_return std::move(opened).error();
    if (index_failed) {
      SQ_PROBE("a damaged local index was left aside");
      with_local_index = false;
    }
    if (journal_changed) SQ_PROBE("recovery began anew: a batch lost its last copy");
  }
}

Async<VolumeInfo> Engine::create_volume(CreateVolume request) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  if (impl_->find_volume(request.name, false).ok())
    co_return Error{Code::kExists, "a volume named '" + request.name + "' exists"};
  SQ_CO_TRY(auto* group, impl_->group_of(request.group));
  co_return co_await group->create_volume(std::move(request));
}

Async<std::vector<VolumeInfo>> Engine::list_volumes(bool deleted_too) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  std::vector<VolumeInfo> out;
  for (auto& [group_id, each] : impl_->groups_) {
    for (const auto& [id, volume] : each->volumes()) {
      if (volume.record.deleted && !deleted_too) continue;
      SQ_CO_TRY(auto info, each->info(id, volume));
      out.push_back(std::move(info));
    }
  }
  std::sort(out.begin(), out.end(),
            [](const VolumeInfo& a, const VolumeInfo& b) { return a.name < b.name; });
  co_return out;
}

Async<VolumeInfo> Engine::find_volume(std::string name) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto found, impl_->find_volume(name, false));
  co_return found.group->info(found.id, *found.volume);
}

Async<VolumeInfo> Engine::resize_volume(std::string name, std::uint64_t size_bytes) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto found, impl_->find_volume(name, false));
  co_return co_await found.group->change_volume(
      found.id, [size_bytes](format::VolumeRecord& record) -> Result<> {
        if (record.deleted) return Error{Code::kNotFound, "the volume was deleted"};
        if (size_bytes < record.size_bytes)
          return Error{Code::kInvalid, "a volume cannot shrink; it has " +
                                           std::to_string(record.size_bytes) + " bytes"};
        record.size_bytes = size_bytes;
        return {};
      });
}

Async<VolumeInfo> Engine::delete_volume(std::string name) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto found, impl_->find_volume(name, false));
  co_return co_await found.group->change_volume(
      found.id, [group = found.group](format::VolumeRecord& record) -> Result<> {
        if (record.deleted) return Error{Code::kNotFound, "the volume was deleted"};
        record.deleted = true;
        record.deleted_wall_ns = group->retention_now();
        return {};
      });
}

Async<> Engine::purge_volume(std::string name) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  std::vector<Impl::Found> deleted;
  for (auto& [group_id, each] : impl_->groups_)
    for (const auto& [id, volume] : each->volumes())
      if (volume.name == name && volume.record.deleted) deleted.push_back({each.get(), id, {}});
  if (deleted.empty() && impl_->find_volume(name, false).ok())
    co_return Error{Code::kConflict, "the volume '" + name + "' is not deleted: remove it first"};
  if (deleted.empty())
    co_return Error{Code::kNotFound, "there is no deleted volume named '" + name + "'"};
  for (const auto& one : deleted) SQ_CO_TRY(co_await one.group->purge_volume(one.id, false));
  impl_->core_.work.set();
  co_return {};
}

Async<VolumeInfo> Engine::undelete_volume(std::string name) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto found, impl_->find_volume(name, true));
  if (impl_->find_volume(name, false).ok())
    co_return Error{Code::kExists, "another volume is named '" + name + "' now; remove it first"};
  co_return co_await found.group->change_volume(
      found.id, [](format::VolumeRecord& record) -> Result<> {
        if (!record.deleted) return Error{Code::kConflict, "the volume was brought back already"};
        record.deleted = false;
        record.deleted_wall_ns = 0;
        return {};
      });
}

Async<> Engine::write(VolumeId volume, std::uint64_t offset, Buffer data,
                      std::vector<std::uint64_t> ingest, RequestId request) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(auto* group, impl_->group_of(volume));
  co_return co_await group->write(volume, offset, std::move(data), std::move(ingest), request);
}

Async<ReadReply> Engine::read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                              std::optional<std::string> snapshot) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto at, impl_->reading_of(volume, snapshot));
  ReadReply reply;
  SQ_CO_TRY(reply.data, co_await at.group->read(volume, offset, length, at.snapshot));
  co_return reply;
}

Async<> Engine::zero(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                     RequestId request) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(auto* group, impl_->group_of(volume));
  co_return co_await group->zero(volume, offset, length, request);
}

Async<std::vector<Extents>> Engine::block_status(VolumeId volume, std::uint64_t offset,
                                                 std::uint64_t length, std::size_t count_max,
                                                 std::optional<std::string> snapshot) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto at, impl_->reading_of(volume, snapshot));
  co_return co_await at.group->block_status(volume, offset, length, count_max, at.snapshot);
}

// Sessions are known in every group, for a client may use volumes of several.
Async<SessionId> Engine::open_session() {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  const SessionId session(impl_->core_.env.random.draw<std::uint64_t>() | 1);
  for (auto& [id, each] : impl_->groups_) SQ_CO_TRY(co_await each->open_session(session));
  co_return session;
}

Async<> Engine::end_session(SessionId session) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  for (auto& [id, each] : impl_->groups_) SQ_CO_TRY(co_await each->end_session(session));
  co_return {};
}

Async<SnapshotView> Engine::create_snapshot(std::vector<std::string> volumes, std::string name) {
  SQ_CO_TRY(impl_->enter_changing());
  const Impl::Visit visit(*impl_);
  if (volumes.empty()) co_return Error{Code::kInvalid, "name at least one volume"};
  Group* group = nullptr;
  std::vector<VolumeId> ids;
  for (const auto& volume : volumes) {
    SQ_CO_TRY(const auto found, impl_->find_volume(volume, false));
    if (group != nullptr && group != found.group)
      co_return Error{Code::kInvalid, "the volumes are in different groups: a snapshot is of one"};
    group = found.group;
    ids.push_back(found.id);
  }
  co_return co_await group->create_snapshot(std::move(ids), std::move(name));
}

Async<std::vector<SnapshotView>> Engine::list_snapshots() {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  std::vector<SnapshotView> out;
  for (auto& [id, each] : impl_->groups_) {
    SQ_CO_TRY(auto views, each->list_snapshots());
    std::move(views.begin(), views.end(), std::back_inserter(out));
  }
  co_return out;
}

Async<> Engine::drop_snapshot(std::string id) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(const auto named, impl_->parse_snapshot(id));
  if (impl_->core_.options.receives)
    co_return co_await impl_->drop_received(*named.group, *named.snapshot);
  co_return co_await named.group->drop_snapshot(*named.snapshot);
}

std::optional<Error> Engine::failure() const { return impl_->core_.failure(); }

EngineStats Engine::stats() const {
  const auto& core = impl_->core_;
  auto stats = core.stats;
  stats.pool = core.pool->status();
  stats.lane = core.lane->stats();
  stats.lane_used_bytes = core.lane->used_bytes();
  stats.lane_ring_bytes = core.lane->ring_bytes();
  stats.write_buffer_bytes = core.write_buffer.used();
  stats.write_buffer_bytes_max = core.write_buffer.total();
  stats.write_buffer_waiting = core.write_buffer.waiting();
  stats.room_waiting = core.room.waiting();
  for (std::size_t i = 0; i < stats.in_flight.size(); ++i)
    stats.in_flight[i] = core.options.activities->now[i];
  stats.index_memory_bytes = core.index->kv().memory_bytes();
  return stats;
}

std::vector<GroupStatus> Engine::groups() const {
  std::vector<GroupStatus> out;
  for (const auto& [id, each] : impl_->groups_)
    out.push_back({id, impl_->epoch().number, each->commit()});
  return out;
}

pool::Pool& Engine::pool() { return *impl_->core_.pool; }

Async<> Engine::checkpoint() {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  SQ_CO_TRY(co_await impl_->drain());
  co_return co_await impl_->checkpoint();
}

Task<void> Engine::stop() { co_await impl_->stop(); }

}  // namespace square::store
