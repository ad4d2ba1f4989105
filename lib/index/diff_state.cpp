// What a diff carries beside the ranges that changed: records, the session table as of its end, and
// where rewrites have put other extents since.

#include "base/planted.hpp"
#include "index/index_impl.hpp"

namespace square::index {

using format::kLeafBytes;
using format::MetaKey;

namespace {

// The first keys behind `after`, of one table; adds them to `keys`.
Result<> add_keys(Batch& view, Family family, const std::string& prefix, std::string_view after,
                  std::size_t limit, std::set<std::string>& keys) {
  std::size_t count = 0;
  auto from = prefix + std::string(after);
  if (!after.empty()) from.push_back('\0');
  return view.walk(family, prefix, from, [&](Bytes key, Bytes) -> Result<bool> {
    keys.emplace(as_text(key.subspan(prefix.size())));
    return ++count < limit;
  });
}

}  // namespace

Result<std::vector<Index::RecordChange>> Index::record_changes(GroupId group,
                                                               std::optional<Sequence> from,
                                                               std::optional<Sequence> to,
                                                               std::string_view after,
                                                               std::size_t limit) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(const auto target, impl_->position_of(group, to));
  std::vector<RecordChange> changes;
  const auto* state = impl_->find_group(group);
  if (!state) return changes;
  const auto& snapshots = state->snapshots;
  std::size_t begin = target, end = snapshots.size();
  if (from) {
    SQ_TRY(begin, impl_->position_of(group, from));
    if (begin >= target)
      return Error{Code::kInvalid, "diff: the target is not later than the base"};
    end = target;
  }
  Batch view(*impl_->kv);
  std::string last(after);
  while (changes.size() < limit) {
    const auto wanted = limit - changes.size();
    std::set<std::string> keys;
    for (auto i = begin; i < end; ++i)
      SQ_TRY(add_keys(view, Family::kRecordHistory,
                      format::record_history_key(group, snapshots[i].id.sequence, ""), last, wanted,
                      keys));
    if (!from)
      SQ_TRY(add_keys(view, Family::kRecords, format::record_key(group, ""), last, wanted, keys));
    if (keys.empty()) break;
    // Behind the first `wanted` of them, a table may have keys that it was not asked for.
    std::size_t seen = 0;
    for (const auto& key : keys) {
      if (seen++ == wanted) break;
      last = key;
      SQ_TRY(auto value, impl_->record_at(view, group, key, target));
      if (value || from) changes.emplace_back(key, std::move(value));
    }
  }
  return changes;
}

// ---- sessions

// They are not versioned as records are: a snapshot keeps its own copy.
void Index::Impl::save_sessions(Batch& batch, GroupId id, Sequence mark) {
  MetaKey key{MetaKey::Kind::kSessionAt, id, mark.value, 0};
  batch.put(Family::kMeta, encode(key), format::encode(format::SessionRow{}));
  for (const auto& [session, row] : groups[id].sessions) {
    key.second = session.value;
    batch.put(Family::kMeta, encode(key), format::encode(row));
  }
}

Result<std::vector<SessionWindow>> Index::sessions_at(GroupId group, Sequence at) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(impl_->position_of(group, at));
  Batch view(*impl_->kv);
  return impl_->kept_sessions(view, group, at);
}

Result<std::vector<SessionWindow>> Index::Impl::kept_sessions(Batch& view, GroupId id,
                                                              Sequence at) {
  std::vector<SessionWindow> windows;
  bool kept = false;
  const auto prefix = format::meta_prefix({MetaKey::Kind::kSessionAt, id, at.value, 0});
  SQ_TRY(view.walk(Family::kMeta, prefix, prefix, [&](Bytes key, Bytes value) -> Result<bool> {
    SQ_TRY(const auto meta, format::decode_meta_key(key));
    SQ_TRY(const auto row, format::decode_session_row(value));
    if (meta.second == 0)
      kept = true;
    else
      windows.push_back({SessionId(meta.second), row});
    return true;
  }));
  if (!kept)
    return Error{Code::kNotFound,
                 "no session table was kept with the snapshot at " + std::to_string(at.value)};
  return windows;
}

// ---- rewrites

void Index::Impl::note_rewritten(Batch& batch, const format::Operation& operation, VolumeId volume,
                                 std::uint64_t from, std::uint64_t to) {
  auto& roots = groups[operation.group].roots;
  for (auto leaf = from / kLeafBytes; leaf * kLeafBytes < to; ++leaf) {
    if (!SQ_PLANTED("diff_forgets_rewritten"))
      batch.put(Family::kMeta,
                encode(MetaKey{MetaKey::Kind::kRewritten, operation.group, volume.value, leaf}),
                format::encode_rewritten(operation.sequence));
    if (!roots.empty() && !SQ_PLANTED("root_keeps_rewritten")) roots.stale.insert({volume, leaf});
  }
}

Result<std::vector<Index::Cursor>> Index::rewritten(GroupId group, Sequence since, Cursor cursor,
                                                    std::size_t limit) const {
  if (impl_->broken) return *impl_->broken;
  std::vector<Cursor> leaves;
  if (limit == 0) return leaves;
  Batch view(*impl_->kv);
  const MetaKey first{MetaKey::Kind::kRewritten, group, cursor.volume.value,
                      cursor.offset / kLeafBytes};
  auto prefix = format::meta_prefix(first);
  prefix.resize(prefix.size() - 8);  // all volumes of the group
  SQ_TRY(
      view.walk(Family::kMeta, prefix, encode(first), [&](Bytes key, Bytes value) -> Result<bool> {
        SQ_TRY(const auto meta, format::decode_meta_key(key));
        SQ_TRY(const auto last, format::decode_rewritten(value));
        if (last > since) leaves.push_back({VolumeId(meta.first), meta.second * kLeafBytes});
        return leaves.size() < limit;
      }));
  return leaves;
}

Result<> Index::Impl::erase_meta(Batch& batch, const std::string& prefix) {
  std::vector<std::string> keys;
  SQ_TRY(batch.walk(Family::kMeta, prefix, prefix, [&](Bytes key, Bytes) -> Result<bool> {
    keys.emplace_back(as_text(key));
    return true;
  }));
  for (auto& key : keys) batch.erase(Family::kMeta, std::move(key));
  return {};
}

}  // namespace square::index
