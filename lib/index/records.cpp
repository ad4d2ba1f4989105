// Records: versioned by snapshots in the same way as ranges.

#include "index/index_impl.hpp"

namespace square::index {

Result<> Index::Impl::set_record(Batch& batch, GroupId id, const std::string& name,
                                 std::optional<ByteVector> value) {
  const auto& snapshots = groups[id].snapshots;
  const auto key = format::record_key(id, name);
  if (!snapshots.empty()) {
    auto saved = format::record_history_key(id, snapshots.back().id.sequence, name);
    SQ_TRY(const auto there, batch.get(Family::kRecordHistory, saved));
    if (!there) {
      SQ_TRY(const auto old, batch.get(Family::kRecords, key));
      batch.put(Family::kRecordHistory, std::move(saved), format::encode_record_history(old));
    }
  }
  if (value)
    batch.put(Family::kRecords, key, std::move(*value));
  else
    batch.erase(Family::kRecords, key);
  return {};
}

Result<std::optional<ByteVector>> Index::Impl::record_at(Batch& view, GroupId id,
                                                         std::string_view key, std::size_t first) {
  const auto* group = find_group(id);
  for (auto i = first; group && i < group->snapshots.size(); ++i) {
    const auto sequence = group->snapshots[i].id.sequence;
    SQ_TRY(const auto saved,
           view.get(Family::kRecordHistory, format::record_history_key(id, sequence, key)));
    if (saved) return format::decode_record_history(*saved);
  }
  return view.get(Family::kRecords, format::record_key(id, key));
}

// Whether the present's or a held snapshot's records name the volume.
Result<bool> Index::Impl::named_somewhere(Batch& view, GroupId id, VolumeId volume) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string key = "vol/";
  for (int shift = 60; shift >= 0; shift -= 4) key.push_back(kDigits[volume.value >> shift & 15]);
  const auto& snapshots = find_group(id)->snapshots;
  for (std::size_t i = 0; i <= snapshots.size(); ++i) {
    if (i < snapshots.size() && snapshots[i].hidden) continue;
    SQ_TRY(const auto record, record_at(view, id, key, i));
    if (record) return true;
  }
  return false;
}

Result<std::optional<ByteVector>> Index::record(GroupId group, std::string_view key,
                                                std::optional<Sequence> at) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(const auto first, impl_->position_of(group, at));
  Batch view(*impl_->kv);
  return impl_->record_at(view, group, key, first);
}

Result<std::vector<std::pair<std::string, ByteVector>>> Index::records(
    GroupId group, std::string_view prefix, std::optional<Sequence> at) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(const auto first, impl_->position_of(group, at));
  std::map<std::string, std::optional<ByteVector>> found;
  Batch view(*impl_->kv);
  const auto* state = impl_->find_group(group);
  // The eldest history says it first.
  for (auto i = first; state && i < state->snapshots.size(); ++i) {
    const auto from = format::record_history_key(group, state->snapshots[i].id.sequence, prefix);
    SQ_TRY(
        view.walk(Family::kRecordHistory, from, from, [&](Bytes key, Bytes value) -> Result<bool> {
          SQ_TRY(auto saved, format::decode_record_history(value));
          found.emplace(as_text(key.subspan(format::kRecordHistoryPrefixBytes)), std::move(saved));
          return true;
        }));
  }
  const auto from = format::record_key(group, prefix);
  SQ_TRY(view.walk(Family::kRecords, from, from, [&](Bytes key, Bytes value) -> Result<bool> {
    found.emplace(as_text(key.subspan(format::kRecordPrefixBytes)),
                  ByteVector(value.begin(), value.end()));
    return true;
  }));
  std::vector<std::pair<std::string, ByteVector>> records;
  for (auto& [key, value] : found)
    if (value) records.emplace_back(key, std::move(*value));
  return records;
}

}  // namespace square::index
