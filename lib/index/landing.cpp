// A diff from another store, applied: the present leaves one snapshot and arrives at another. What
// it changes is saved in the base's history as any change is, so the way back is always there.

#include <algorithm>

#include "base/planted.hpp"
#include "format/store_records.hpp"
#include "index/index_impl.hpp"

namespace square::index {

using format::LandingRow;
using format::MetaKey;
using Phase = format::LandingRow::Phase;

// ---- what stands while it lasts

void Index::Impl::put_landing(Batch& batch, GroupId id, std::optional<LandingRow> row) {
  const auto key = encode(MetaKey{MetaKey::Kind::kLanding, id, 0, 0});
  if (row)
    batch.put(Family::kMeta, key, format::encode(*row));
  else
    batch.erase(Family::kMeta, key);
  groups[id].landing = std::move(row);
}

void Index::Impl::set_sessions(Batch& batch, GroupId id,
                               std::map<SessionId, format::SessionRow> sessions) {
  auto& now = groups[id].sessions;
  now.swap(sessions);
  for (const auto& [session, row] : sessions) batch.dirty_sessions.insert({id, session});
  for (const auto& [session, row] : now) batch.dirty_sessions.insert({id, session});
}

void Index::Impl::put_purge(Batch& batch, GroupId id, VolumeId volume) {
  groups[id].purges.insert(volume);
  batch.put(Family::kMeta, encode(MetaKey{MetaKey::Kind::kPurge, id, volume.value, 0}), {});
}

// Their purges were operations of the log that the diff stands for.
Result<> Index::Impl::purge_unnamed(Batch& batch, GroupId id) {
  for (const auto& [volume, pages] : groups[id].written) {
    const auto key = format::record_key(id, format::volume_key(volume));
    SQ_TRY(const auto record, batch.get(Family::kRecords, key));
    if (!record) put_purge(batch, id, volume);
  }
  return {};
}

// ---- there

// A purge of an earlier landing's leftovers must not take away what comes now.
Result<> Index::Impl::land_item(Batch& batch, GroupId id, const format::DiffItem& item) {
  if (groups[id].purges.erase(item.volume) != 0)
    batch.erase(Family::kMeta, encode(MetaKey{MetaKey::Kind::kPurge, id, item.volume.value, 0}));
  const auto end = item.offset + item.length;
  const auto& mapping = item.mapping;
  if (mapping.hole) return hole(batch, id, item.volume, item.offset, end, mapping.hole_sequence);
  const auto& extent = mapping.extent;
  if (item.offset % kBlockBytes != 0 || item.length % kBlockBytes != 0 || item.length == 0 ||
      end < item.offset || mapping.extent_offset > item.offset ||
      mapping.extent_offset > extent.plain_bytes ||
      item.length > extent.plain_bytes - mapping.extent_offset || !extent.place.placed())
    return Error{Code::kCorrupt, "index: an item of a diff that cannot be"};
  return map_range(batch, id, item.volume, Range{item.offset, item.length, mapping});
}

Result<> Index::Impl::clear_some(Batch& batch, GroupId id, std::size_t entries_max) {
  std::vector<std::pair<VolumeId, Range>> ranges;
  const auto prefix = format::present_prefix(id);
  SQ_TRY(batch.walk(Family::kPresent, prefix, prefix, [&](Bytes key, Bytes bytes) -> Result<bool> {
    SQ_TRY(const auto place, format::parse_range_key(key, prefix.size()));
    SQ_TRY(auto value, format::decode_range_value(bytes));
    if (!value.mapping.hole)
      ranges.emplace_back(place.volume, Range{place.end - value.length, value.length, {}});
    return ranges.size() < entries_max;
  }));
  for (const auto& [volume, range] : ranges)
    SQ_TRY(hole(batch, id, volume, range.offset, range.end(), Sequence()));
  std::vector<std::string> keys;
  if (ranges.size() < entries_max) {
    const auto all = format::record_key(id, "");
    SQ_TRY(batch.walk(Family::kRecords, all, all, [&](Bytes key, Bytes) -> Result<bool> {
      keys.emplace_back(as_text(key.subspan(all.size())));
      return ranges.size() + keys.size() < entries_max;
    }));
  }
  for (const auto& key : keys) SQ_TRY(set_record(batch, id, key, std::nullopt));
  if (ranges.size() + keys.size() == entries_max) return {};
  auto row = *groups[id].landing;
  row.phase = Phase::kItems;
  put_landing(batch, id, std::move(row));
  return {};
}

// ---- and back

// What the base's history has goes back to where it was; true when there was any.
Result<bool> Index::Impl::revert_ranges(Batch& batch, GroupId id, std::size_t entries_max) {
  const auto base = groups[id].snapshots.back().id.sequence;
  const auto prefix = format::history_prefix(id, base);
  std::vector<std::pair<VolumeId, Range>> ranges;
  SQ_TRY(batch.walk(Family::kHistory, prefix, prefix, [&](Bytes key, Bytes bytes) -> Result<bool> {
    SQ_TRY(const auto place, format::parse_range_key(key, prefix.size()));
    SQ_TRY(auto value, format::decode_range_value(bytes));
    ranges.emplace_back(place.volume,
                        Range{place.end - value.length, value.length, std::move(value.mapping)});
    return ranges.size() < entries_max;
  }));
  for (const auto& [volume, range] : ranges) {
    batch.erase_range(Table::history(id, base, volume), range);
    SQ_TRY(batch.replace(Table::present(id, volume), range.offset, range.end(), range.mapping));
  }
  return !ranges.empty();
}

Result<bool> Index::Impl::revert_records(Batch& batch, GroupId id, std::size_t entries_max) {
  const auto prefix = format::record_history_key(id, groups[id].snapshots.back().id.sequence, "");
  std::vector<std::pair<std::string, std::optional<ByteVector>>> records;
  SQ_TRY(batch.walk(Family::kRecordHistory, prefix, prefix,
                    [&](Bytes key, Bytes value) -> Result<bool> {
                      SQ_TRY(auto saved, format::decode_record_history(value));
                      records.emplace_back(as_text(key.subspan(prefix.size())), std::move(saved));
                      return records.size() < entries_max;
                    }));
  for (auto& [key, value] : records) {
    batch.erase(Family::kRecordHistory, prefix + key);
    if (value)
      batch.put(Family::kRecords, format::record_key(id, key), std::move(*value));
    else
      batch.erase(Family::kRecords, format::record_key(id, key));
  }
  return !records.empty();
}

// No snapshot is left: records go, and then all mappings. True when there was any.
Result<bool> Index::Impl::empty_present(Batch& batch, GroupId id, std::size_t entries_max) {
  const auto prefix = format::record_key(id, "");
  std::vector<std::string> keys;
  SQ_TRY(batch.walk(Family::kRecords, prefix, prefix, [&](Bytes key, Bytes) -> Result<bool> {
    keys.emplace_back(as_text(key));
    return keys.size() < entries_max;
  }));
  for (auto& key : keys) batch.erase(Family::kRecords, std::move(key));
  if (!keys.empty()) return true;
  auto& written = groups[id].written;
  if (written.empty()) return false;
  bool more = false;
  SQ_TRY(purge_some(batch, id, written.begin()->first, entries_max, more));
  return true;
}

Result<> Index::Impl::revert_some(Batch& batch, GroupId id, std::size_t entries_max) {
  auto& group = groups[id];
  const auto& to = group.landing->base;
  if (std::ranges::any_of(group.snapshots, [](const SnapshotInfo& s) { return s.hidden; }))
    return merge_some(batch, id, entries_max);
  if (!to) {
    SQ_TRY(const bool any, empty_present(batch, id, entries_max));
    if (any) return {};
    group.applied = {};
    set_sessions(batch, id, {});
  } else {
    SQ_CHECK(!group.snapshots.empty() && group.snapshots.back().id == to->snapshot,
             "the snapshot that is reverted to was dropped");
    SQ_TRY(const bool ranges, revert_ranges(batch, id, entries_max));
    if (ranges) return {};
    SQ_TRY(const bool records, revert_records(batch, id, entries_max));
    if (records) return {};
    group.applied = {to->snapshot.sequence, to->snapshot.chain};
    std::map<SessionId, format::SessionRow> sessions;
    SQ_TRY(const auto kept, kept_sessions(batch, id, to->snapshot.sequence));
    for (const auto& window : kept) sessions[window.session] = window.requests;
    set_sessions(batch, id, std::move(sessions));
  }
  group.roots = {};
  put_applied(batch, id, group);
  SQ_TRY(purge_unnamed(batch, id));
  put_landing(batch, id, std::nullopt);
  return {};
}

// ---- the public face

std::optional<LandingRow> Index::landing(GroupId group) const {
  const auto* state = impl_->find_group(group);
  return state ? state->landing : std::nullopt;
}

Result<> Index::begin_landing(GroupId group, const std::optional<format::DiffBase>& base,
                              const format::SnapshotId& target) {
  return impl_->change([&](Batch& batch) -> Result<> {
    auto& state = impl_->groups[group];
    SQ_CHECK(!state.landing, "a diff is being applied already");
    const auto& held = state.snapshots;
    SQ_CHECK(held.empty() || held.back().id.sequence < target.sequence,
             "a diff whose target is older than a snapshot");
    LandingRow row{Phase::kClearing, base, target, {}, {}};
    if (base) {
      SQ_CHECK(!held.empty() && held.back().id == base->snapshot &&
                   state.applied.sequence == base->snapshot.sequence,
               "the present is not the base of the diff");
      row.phase = Phase::kItems;
    }
    impl_->put_landing(batch, group, std::move(row));
    return {};
  });
}

Result<bool> Index::clear_step(GroupId group, std::size_t entries_max) {
  const auto clearing = [this, group] {
    const auto row = landing(group);
    return row && row->phase == Phase::kClearing;
  };
  if (!clearing()) return false;
  SQ_TRY(impl_->change([&](Batch& batch) {
    return impl_->clear_some(batch, group, std::max<std::size_t>(entries_max, 1));
  }));
  return clearing();
}

Result<> Index::begin_stream(GroupId group, const format::DiffCursor& cursor, Sequence came_with) {
  return impl_->change([&](Batch& batch) -> Result<> {
    auto row = impl_->groups[group].landing;
    SQ_CHECK(row && row->phase == Phase::kItems, "the stream of a diff that has not begun");
    row->cursor = cursor;
    row->came_with = came_with;
    impl_->put_landing(batch, group, std::move(row));
    return {};
  });
}

Result<> Index::land(GroupId group, std::span<const format::DiffItem> items,
                     std::span<const format::StripeDescriptor> stripes,
                     const std::optional<format::DiffCursor>& cursor) {
  return impl_->change([&](Batch& batch) -> Result<> {
    auto row = impl_->groups[group].landing;
    SQ_CHECK(row && row->phase == Phase::kItems, "items of a diff that has not begun");
    SQ_TRY(impl_->add_stripes(batch, stripes));
    for (const auto& item : items) SQ_TRY(impl_->land_item(batch, group, item));
    if (cursor) {
      row->cursor = *cursor;
      impl_->put_landing(batch, group, std::move(row));
    }
    return {};
  });
}

Result<> Index::land_records(GroupId group, std::span<const format::DiffRecord> records) {
  return impl_->change([&](Batch& batch) -> Result<> {
    const auto& row = impl_->groups[group].landing;
    SQ_CHECK(row && row->phase == Phase::kItems, "records of a diff that has not begun");
    for (const auto& record : records)
      SQ_TRY(impl_->set_record(batch, group, record.key, record.value));
    return {};
  });
}

Result<> Index::finish_landing(GroupId group, std::span<const format::DiffSession> sessions,
                               std::int64_t wall_ns, Sequence rewrites) {
  return impl_->change([&](Batch& batch) -> Result<> {
    auto& state = impl_->groups[group];
    SQ_CHECK(state.landing && state.landing->phase == Phase::kItems,
             "the end of a diff that has not begun");
    const auto target = state.landing->target;
    impl_->mark(batch, group, {target, wall_ns, false, rewrites});
    std::map<SessionId, format::SessionRow> table;
    for (const auto& one : sessions) table[one.session] = one.requests;
    impl_->set_sessions(batch, group, std::move(table));
    impl_->save_sessions(batch, group, target.sequence);
    state.applied = {target.sequence, target.chain};
    impl_->put_applied(batch, group, state);
    SQ_TRY(impl_->purge_unnamed(batch, group));
    impl_->put_landing(batch, group, std::nullopt);
    return {};
  });
}

Result<> Index::begin_revert(GroupId group, const std::optional<format::SnapshotId>& to) {
  return impl_->change([&](Batch& batch) -> Result<> {
    auto& state = impl_->groups[group];
    const auto base =
        to ? std::optional(format::DiffBase{*to, to->sequence}) : std::optional<format::DiffBase>();
    for (auto& snapshot : state.snapshots) {
      if (to && snapshot.id.sequence <= to->sequence) continue;
      if (!snapshot.hidden) impl_->hide(batch, group, snapshot);
    }
    const auto target = state.landing ? state.landing->target : format::SnapshotId{};
    impl_->put_landing(batch, group, LandingRow{Phase::kReverting, base, target, {}, {}});
    return {};
  });
}

Result<bool> Index::revert_step(GroupId group, std::size_t entries_max) {
  const auto row = landing(group);
  if (!row || row->phase != Phase::kReverting) return false;
  SQ_TRY(impl_->change([&](Batch& batch) {
    return impl_->revert_some(batch, group, std::max<std::size_t>(entries_max, 1));
  }));
  return landing(group).has_value();
}

Result<> Index::drop_landed(GroupId group, const format::SnapshotId& id) {
  return impl_->change([&](Batch& batch) -> Result<> {
    for (auto& snapshot : impl_->groups[group].snapshots)
      if (snapshot.id == id && !snapshot.hidden) impl_->hide(batch, group, snapshot);
    return {};
  });
}

Result<std::optional<format::Place>> Index::find_extent(GroupId group, VolumeId volume,
                                                        std::uint64_t offset,
                                                        const format::ExtentRef& extent) const {
  if (impl_->broken) return *impl_->broken;
  std::vector<Table> tables{Table::present(group, volume)};
  if (const auto* state = impl_->find_group(group); state && !state->snapshots.empty())
    tables.push_back(Table::history(group, state->snapshots.back().id.sequence, volume));
  Batch view(*impl_->kv);
  for (const auto& table : tables) {
    SQ_TRY(const auto found, view.overlapping(table, offset, offset + extent.plain_bytes));
    for (const auto& range : found) {
      if (range.mapping.hole || range.offset - range.mapping.extent_offset != offset) continue;
      auto here = range.mapping.extent;
      const auto place = std::exchange(here.place, extent.place);
      if (here == extent) return std::optional(place);
    }
  }
  return std::optional<format::Place>();
}

}  // namespace square::index
