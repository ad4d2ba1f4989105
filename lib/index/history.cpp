// Snapshots and their histories: saving, dropping, merging.

#include <algorithm>

#include "base/planted.hpp"
#include "index/index_impl.hpp"

namespace square::index {

using format::MetaKey;

namespace {

void put_snapshot(Batch& batch, GroupId id, const SnapshotInfo& snapshot) {
  const MetaKey key{MetaKey::Kind::kSnapshot, id, snapshot.id.sequence.value, 0};
  batch.put(Family::kMeta, encode(key),
            format::encode(format::SnapshotRow{snapshot.id, snapshot.wall_ns, snapshot.hidden,
                                               snapshot.rewrites}));
}

}  // namespace

// The mapping as of the newest snapshot, hidden or not, stays with it. The first save wins: what
// comes later was written after the snapshot.
Result<> Index::Impl::save(Batch& batch, GroupId id, VolumeId volume, const Range& old) {
  const auto& snapshots = groups[id].snapshots;
  if (snapshots.empty()) return {};
  if (SQ_PLANTED("hole_no_history") && old.mapping.hole) return {};
  const auto table = Table::history(id, snapshots.back().id.sequence, volume);
  if (SQ_PLANTED("hist_overwrite")) {
    SQ_TRY(batch.replace(table, old.offset, old.end(), old.mapping));
    return {};
  }
  return batch.insert_absent(table, old);
}

void Index::Impl::mark(Batch& batch, GroupId id, SnapshotInfo snapshot) {
  put_snapshot(batch, id, snapshot);
  groups[id].snapshots.push_back(std::move(snapshot));
}

void Index::Impl::hide(Batch& batch, GroupId id, SnapshotInfo& snapshot) {
  snapshot.hidden = true;
  put_snapshot(batch, id, snapshot);
}

void Index::Impl::drop(Batch& batch, const format::Operation& operation) {
  const auto& wanted = std::get<format::DropBody>(operation.body).snapshot;
  for (auto& snapshot : groups[operation.group].snapshots) {
    if (snapshot.id.sequence != wanted.sequence || snapshot.id.chain != wanted.chain) continue;
    hide(batch, operation.group, snapshot);
  }
}

Result<std::size_t> Index::Impl::position_of(GroupId id, std::optional<Sequence> at) const {
  const auto* group = find_group(id);
  if (!at) return group ? group->snapshots.size() : 0;
  for (std::size_t i = 0; group && i < group->snapshots.size(); ++i) {
    const auto& snapshot = group->snapshots[i];
    if (snapshot.id.sequence == *at && !snapshot.hidden) return i;
  }
  return Error{Code::kNotFound, "no snapshot at sequence " + std::to_string(at->value)};
}

// ---- merging the history of a dropped snapshot into its elder's; the oldest one's just goes

Result<std::size_t> Index::Impl::merge_ranges(Batch& batch, GroupId id, std::size_t hidden,
                                              std::size_t max) {
  const auto& snapshots = groups[id].snapshots;
  const auto prefix = format::history_prefix(id, snapshots[hidden].id.sequence);
  std::vector<std::pair<VolumeId, Range>> ranges;
  if (max > 0) {
    SQ_TRY(
        batch.walk(Family::kHistory, prefix, prefix, [&](Bytes key, Bytes bytes) -> Result<bool> {
          SQ_TRY(const auto place, format::parse_range_key(key, prefix.size()));
          SQ_TRY(auto value, format::decode_range_value(bytes));
          ranges.emplace_back(place.volume, Range{place.end - value.length, value.length,
                                                  std::move(value.mapping)});
          return ranges.size() < max;
        }));
  }
  for (const auto& [volume, range] : ranges) {
    batch.erase_range(Table::history(id, snapshots[hidden].id.sequence, volume), range);
    if (hidden == 0) continue;
    const auto elder = snapshots[hidden - 1].id.sequence;
    SQ_TRY(batch.insert_absent(Table::history(id, elder, volume), range));
  }
  return ranges.size();
}

Result<std::size_t> Index::Impl::merge_records(Batch& batch, GroupId id, std::size_t hidden,
                                               std::size_t max) {
  const auto& snapshots = groups[id].snapshots;
  const auto prefix = format::history_prefix(id, snapshots[hidden].id.sequence);
  std::vector<std::pair<std::string, ByteVector>> records;
  if (max > 0) {
    SQ_TRY(batch.walk(Family::kRecordHistory, prefix, prefix,
                      [&](Bytes key, Bytes value) -> Result<bool> {
                        records.emplace_back(as_text(key.subspan(prefix.size())),
                                             ByteVector(value.begin(), value.end()));
                        return records.size() < max;
                      }));
  }
  for (auto& [key, value] : records) {
    batch.erase(Family::kRecordHistory, prefix + key);
    if (hidden == 0) continue;
    auto elder = format::record_history_key(id, snapshots[hidden - 1].id.sequence, key);
    SQ_TRY(const auto there, batch.get(Family::kRecordHistory, elder));
    if (!there) batch.put(Family::kRecordHistory, std::move(elder), std::move(value));
  }
  return records.size();
}

Result<> Index::Impl::merge_some(Batch& batch, GroupId id, std::size_t entries_max) {
  auto& snapshots = groups[id].snapshots;
  const auto found = std::find_if(snapshots.begin(), snapshots.end(),
                                  [](const SnapshotInfo& s) { return s.hidden; });
  if (found == snapshots.end()) return {};
  const auto hidden = static_cast<std::size_t>(found - snapshots.begin());
  SQ_TRY(const auto ranges, merge_ranges(batch, id, hidden, entries_max));
  SQ_TRY(const auto records, merge_records(batch, id, hidden, entries_max - ranges));
  if (ranges + records == entries_max) return {};
  const auto sequence = found->id.sequence.value;
  batch.erase(Family::kMeta, encode(MetaKey{MetaKey::Kind::kSnapshot, id, sequence, 0}));
  SQ_TRY(erase_meta(batch, format::meta_prefix({MetaKey::Kind::kSessionAt, id, sequence, 0})));
  snapshots.erase(found);
  return {};
}

Result<bool> Index::merge_step(GroupId group, std::size_t entries_max) {
  if (impl_->broken) return *impl_->broken;
  const auto hidden = [](const SnapshotInfo& s) { return s.hidden; };
  const auto* state = impl_->find_group(group);
  if (!state || std::none_of(state->snapshots.begin(), state->snapshots.end(), hidden))
    return false;
  SQ_TRY(impl_->change([&](Batch& batch) {
    return impl_->merge_some(batch, group, std::max<std::size_t>(entries_max, 1));
  }));
  return std::any_of(state->snapshots.begin(), state->snapshots.end(), hidden);
}

std::vector<SnapshotInfo> Index::snapshots(GroupId group) const {
  std::vector<SnapshotInfo> held;
  if (const auto* state = impl_->find_group(group)) {
    for (const auto& snapshot : state->snapshots)
      if (!snapshot.hidden) held.push_back(snapshot);
  }
  return held;
}

}  // namespace square::index
