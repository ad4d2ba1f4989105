// Stripes, and which bytes of each segment are still named by a mapping.

#include "base/planted.hpp"
#include "index/index_impl.hpp"

namespace square::index {
namespace {

bool lies_in(const format::Place& place, const format::StripeDescriptor& stripe) {
  return place.segment == stripe.segment && place.generation == stripe.generation &&
         place.stripe_block == stripe.stripe_block;
}

}  // namespace

Result<> Index::Impl::add_stripes(Batch& batch, std::span<const format::StripeDescriptor> stripes) {
  for (const auto& stripe : stripes) {
    auto key = format::stripe_key(stripe.segment, stripe.generation, stripe.stripe_block);
    SQ_TRY(const auto there, batch.get(Family::kStripes, key));
    if (there) continue;
    std::int64_t stored = 0;
    for (const auto& extent : stripe.extents) stored += extent.stored_bytes;
    batch.deltas[{stripe.segment, stripe.generation}].total += stored;
    batch.put(Family::kStripes, std::move(key), format::encode(stripe));
  }
  return {};
}

Result<bool> Index::Impl::move_extent(Batch& batch, const format::MovedExtent& moved) {
  bool changed = false;
  auto& group = groups[moved.group];
  const auto end = moved.offset + moved.from.plain_bytes;
  std::vector<Table> tables{Table::present(moved.group, moved.volume)};
  if (SQ_PLANTED("cleaner_overwrites_newer")) {
    format::Mapping mapping;
    mapping.hole = false;
    mapping.extent = moved.from;
    mapping.extent.place = moved.to;
    SQ_TRY(batch.replace(tables[0], moved.offset, end, mapping));
  }
  for (const auto& snapshot : group.snapshots) {
    if (SQ_PLANTED("move_skips_history")) break;
    tables.push_back(Table::history(moved.group, snapshot.id.sequence, moved.volume));
  }
  for (const auto& table : tables) {
    SQ_TRY(const auto found, batch.overlapping(table, moved.offset, end));
    for (auto range : found) {
      const auto& extent = range.mapping.extent;
      if (range.mapping.hole || extent.id != moved.from.id || extent.place != moved.from.place)
        continue;
      batch.erase_range(table, range);
      range.mapping.extent.place = moved.to;
      batch.put_range(table, range);
      changed = true;
    }
  }
  return changed;
}

// Brings the counters up to date. The first stripe of a segment's new use drops what is left of
// earlier uses: no mapping may name them, or the segment would not have been free.
Result<> Index::Impl::put_counters(Batch& batch) {
  for (const auto& [key, delta] : batch.deltas) {
    const auto known = segments.contains(key);
    if (!known && delta.live == 0 && delta.total == 0) continue;
    auto& row = segments[key];
    if (delta.live < 0 && row.live_bytes < static_cast<std::uint64_t>(-delta.live))
      return Error{Code::kCorrupt, "index: more bytes unmapped in segment " +
                                       std::to_string(key.segment.value) + " than were mapped"};
    row.live_bytes += static_cast<std::uint64_t>(delta.live);
    row.total_bytes += static_cast<std::uint64_t>(delta.total);
    if (row.live_bytes == 0)
      dead.insert(key);
    else
      dead.erase(key);
    batch.put(Family::kSegments, format::segment_key(key.segment, key.generation),
              format::encode(row));
  }
  for (const auto& [key, delta] : batch.deltas) {
    if (delta.total == 0) continue;
    auto older = segments.lower_bound(SegmentKey{key.segment, {}});
    while (older != segments.end() && older->first < key) {
      if (older->second.live_bytes != 0) {
        ++older;
        continue;
      }
      const auto prefix = format::segment_key(older->first.segment, older->first.generation);
      SQ_TRY(drop_stripes(batch, prefix));
      batch.erase(Family::kSegments, prefix);
      dead.erase(older->first);
      older = segments.erase(older);
    }
  }
  return {};
}

Result<> Index::Impl::drop_stripes(Batch& batch, const std::string& prefix) {
  std::vector<std::string> keys;
  SQ_TRY(batch.walk(Family::kStripes, prefix, prefix, [&](Bytes key, Bytes) -> Result<bool> {
    keys.emplace_back(as_text(key));
    return true;
  }));
  for (auto& key : keys) batch.erase(Family::kStripes, std::move(key));
  return {};
}

// The extent, when a mapping of present or history names it in that stripe.
Result<> Index::Impl::find_live(Batch& view, const format::StripeDescriptor& stripe,
                                const format::StripeExtent& extent,
                                std::vector<format::MovedExtent>& live) {
  const auto* group = find_group(extent.group);
  if (!group) return {};
  for (std::size_t i = 0; i <= group->snapshots.size(); ++i) {
    const auto table =
        i == group->snapshots.size()
            ? Table::present(extent.group, extent.volume)
            : Table::history(extent.group, group->snapshots[i].id.sequence, extent.volume);
    SQ_TRY(const auto found,
           view.overlapping(table, extent.offset, extent.offset + extent.plain_bytes));
    for (const auto& range : found) {
      const auto& ref = range.mapping.extent;
      if (range.mapping.hole || ref.id != extent.id || !lies_in(ref.place, stripe)) continue;
      live.push_back({ref, {}, extent.group, extent.volume, extent.offset});
      return {};
    }
  }
  return {};
}

Result<std::optional<format::StripeDescriptor>> Index::find_stripe(
    SegmentId segment, format::Generation generation, std::uint32_t stripe_block) const {
  if (impl_->broken) return *impl_->broken;
  const auto key = format::stripe_key(segment, generation, stripe_block);
  SQ_TRY(const auto value, impl_->kv->get(Family::kStripes, as_bytes(key)));
  if (!value) return std::optional<format::StripeDescriptor>();
  SQ_TRY(auto stripe, format::decode_stripe(*value));
  return std::optional(std::move(stripe));
}

Result<std::vector<format::StripeDescriptor>> Index::stripes_in(SegmentId segment) const {
  if (impl_->broken) return *impl_->broken;
  std::vector<format::StripeDescriptor> stripes;
  const auto prefix = format::stripe_prefix(segment);
  Batch view(*impl_->kv);
  SQ_TRY(view.walk(Family::kStripes, prefix, prefix, [&](Bytes, Bytes value) -> Result<bool> {
    SQ_TRY(auto stripe, format::decode_stripe(value));
    stripes.push_back(std::move(stripe));
    return true;
  }));
  return stripes;
}

Result<std::vector<SegmentUse>> Index::segment_uses() const {
  if (impl_->broken) return *impl_->broken;
  std::vector<SegmentUse> uses;
  uses.reserve(impl_->segments.size());
  for (const auto& [key, row] : impl_->segments)
    uses.push_back({key.segment, key.generation, row.live_bytes, row.total_bytes});
  return uses;
}

bool Index::is_dead(SegmentId segment) const {
  bool known = false;
  for (auto use = impl_->segments.lower_bound(SegmentKey{segment, {}});
       use != impl_->segments.end() && use->first.segment == segment; ++use) {
    if (use->second.live_bytes != 0) return false;
    known = true;
  }
  return known;
}

std::vector<SegmentId> Index::dead_segments() const {
  std::vector<SegmentId> ids;
  for (const auto& key : impl_->dead) {
    const bool again = !ids.empty() && ids.back() == key.segment;
    if (!again && is_dead(key.segment)) ids.push_back(key.segment);
  }
  return ids;
}

Result<std::vector<format::MovedExtent>> Index::live_extents(SegmentId segment) const {
  SQ_TRY(const auto stripes, stripes_in(segment));
  return live_extents(stripes);
}

Result<std::vector<format::MovedExtent>> Index::live_extents(
    std::span<const format::StripeDescriptor> stripes) const {
  if (impl_->broken) return *impl_->broken;
  std::vector<format::MovedExtent> live;
  Batch view(*impl_->kv);
  for (const auto& stripe : stripes)
    for (const auto& extent : stripe.extents) SQ_TRY(impl_->find_live(view, stripe, extent, live));
  return live;
}

Result<std::vector<Index::Use>> Index::uses_of(const format::StripeDescriptor& stripe,
                                               const format::StripeExtent& extent) const {
  if (impl_->broken) return *impl_->broken;
  std::vector<Use> uses;
  const auto* group = impl_->find_group(extent.group);
  if (!group) return uses;
  Batch view(*impl_->kv);
  const auto collect = [&](const Table& table, std::optional<Sequence> snapshot) -> Result<> {
    SQ_TRY(const auto found,
           view.overlapping(table, extent.offset, extent.offset + extent.plain_bytes));
    for (const auto& range : found) {
      const auto& ref = range.mapping.extent;
      if (range.mapping.hole || ref.id != extent.id || !lies_in(ref.place, stripe)) continue;
      uses.push_back({snapshot, range.offset, range.length});
    }
    return {};
  };
  SQ_TRY(collect(Table::present(extent.group, extent.volume), std::nullopt));
  for (const auto& snapshot : group->snapshots)
    SQ_TRY(collect(Table::history(extent.group, snapshot.id.sequence, extent.volume),
                   snapshot.id.sequence));
  return uses;
}

Result<> Index::forget_segment(SegmentId segment) {
  if (impl_->broken) return *impl_->broken;
  auto& segments = impl_->segments;
  const auto begin = segments.lower_bound(SegmentKey{segment, {}});
  auto end = begin;
  for (; end != segments.end() && end->first.segment == segment; ++end) {
    if (end->second.live_bytes != 0)
      return Error{Code::kConflict, "segment " + std::to_string(segment.value) + " is in use"};
  }
  return impl_->change([&](Batch& batch) -> Result<> {
    for (auto use = begin; use != end; ++use)
      batch.erase(Family::kSegments, format::segment_key(segment, use->first.generation));
    impl_->dead.erase(impl_->dead.lower_bound(SegmentKey{segment, {}}),
                      impl_->dead.lower_bound(SegmentKey{segment.next(), {}}));
    segments.erase(begin, end);
    return impl_->drop_stripes(batch, format::stripe_prefix(segment));
  });
}

Result<> Index::for_each_stripe(
    const std::function<void(const format::StripeDescriptor&)>& visit) const {
  if (impl_->broken) return *impl_->broken;
  Batch view(*impl_->kv);
  return view.walk(Family::kStripes, "", "", [&](Bytes, Bytes value) -> Result<bool> {
    SQ_TRY(const auto stripe, format::decode_stripe(value));
    visit(stripe);
    return true;
  });
}

}  // namespace square::index
