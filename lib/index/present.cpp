// The present: ranges of volumes and what they map to, the written-map beside it, and purge.

#include <algorithm>

#include "base/planted.hpp"
#include "index/index_impl.hpp"

namespace square::index {
namespace {

constexpr auto kUnit = format::kWrittenUnitBytes;

std::string range_text(VolumeId volume, std::uint64_t from, std::uint64_t to) {
  return "volume " + std::to_string(volume.value) + ", bytes " + std::to_string(from) + " to " +
         std::to_string(to);
}

bool aligned(std::uint64_t bytes) { return bytes % kBlockBytes == 0; }

Result<> check_writes(const format::WriteBody& body) {
  for (const auto& extent : body.extents) {
    if (!aligned(extent.offset) || !aligned(extent.extent.plain_bytes) ||
        extent.extent.plain_bytes == 0 || !extent.extent.place.placed() ||
        extent.offset + extent.extent.plain_bytes < extent.offset)
      return Error{Code::kCorrupt, "index: an extent without place or size"};
  }
  return {};
}

format::Mapping mapping_of(const format::ExtentRef& extent, std::uint64_t extent_offset) {
  format::Mapping mapping;
  mapping.hole = false;
  mapping.extent = extent;
  mapping.extent_offset = static_cast<std::uint32_t>(extent_offset);
  return mapping;
}

// Everywhere that a mapping of the volume can stand; the present first.
std::vector<Table> tables_of(const GroupState& group, GroupId id, VolumeId volume) {
  std::vector<Table> tables{Table::present(id, volume)};
  for (const auto& snapshot : group.snapshots)
    tables.push_back(Table::history(id, snapshot.id.sequence, volume));
  return tables;
}

format::Mapping hole_of(Sequence sequence) {
  format::Mapping mapping;
  mapping.hole_sequence = sequence;
  return mapping;
}

}  // namespace

// Sets the bits of all units that [from, to) touches, with explicit holes for the rest of those
// that were not set before; returns these.
Result<std::set<std::uint64_t>> Index::Impl::claim_units(Batch& batch, GroupId id, VolumeId volume,
                                                         std::uint64_t from, std::uint64_t to) {
  auto& written = groups[id].written[volume];
  const auto table = Table::present(id, volume);
  std::set<std::uint64_t> fresh;
  for (auto unit = from / kUnit; unit * kUnit < to; ++unit) {
    if (written.test(unit)) continue;
    fresh.insert(unit);
    batch.dirty_pages.insert({id, volume, written.set(unit)});
    const auto begin = unit * kUnit, end = begin + kUnit;
    if (begin < from) SQ_TRY(batch.replace(table, begin, from, hole_of(Sequence())));
    if (end > to) SQ_TRY(batch.replace(table, to, end, hole_of(Sequence())));
  }
  return fresh;
}

// A change: what stood there goes to the newest snapshot's history.
Result<> Index::Impl::map_range(Batch& batch, GroupId id, VolumeId volume, const Range& range) {
  SQ_TRY(const auto fresh, claim_units(batch, id, volume, range.offset, range.end()));
  SQ_TRY(const auto old,
         batch.replace(Table::present(id, volume), range.offset, range.end(), range.mapping));
  if (groups[id].snapshots.empty()) return {};
  const auto save_gap = [&](std::uint64_t from, std::uint64_t to) -> Result<> {
    if (from >= to) return {};
    for (auto unit = from / kUnit; unit * kUnit < to; ++unit) {
      if (!fresh.contains(unit))
        return Error{Code::kCorrupt, "index: lost the mapping of " + range_text(volume, from, to)};
    }
    return save(batch, id, volume, Range{from, to - from, hole_of(Sequence())});
  };
  auto at = range.offset;
  for (const auto& piece : old) {
    SQ_TRY(save_gap(at, piece.offset));
    SQ_TRY(save(batch, id, volume, piece));
    at = piece.end();
  }
  return save_gap(at, range.end());
}

Result<> Index::Impl::write(Batch& batch, const format::Operation& operation) {
  const auto& body = std::get<format::WriteBody>(operation.body);
  SQ_TRY(check_writes(body));
  for (const auto& extent : body.extents) {
    const Range range{extent.offset, extent.extent.plain_bytes, mapping_of(extent.extent, 0)};
    SQ_TRY(map_range(batch, operation.group, body.volume, range));
  }
  return {};
}

// Only what was ever written: trimming an empty volume of any size costs nothing.
Result<> Index::Impl::hole(Batch& batch, GroupId id, VolumeId volume, std::uint64_t begin,
                           std::uint64_t end, Sequence sequence) {
  if (!aligned(begin) || !aligned(end) || end < begin)
    return Error{Code::kCorrupt, "index: hole of a wrong size"};
  auto& volumes = groups[id].written;
  const auto found = volumes.find(volume);
  if (found == volumes.end()) return {};
  const auto& written = found->second;
  const auto unit_end = end / kUnit + (end % kUnit != 0 ? 1 : 0);
  auto unit = written.next_set(begin / kUnit, unit_end);
  while (unit < unit_end) {
    const auto behind = written.next_clear(unit, unit_end);
    const auto from = std::max(unit * kUnit, begin);
    const auto to = std::min(behind * kUnit, end);
    SQ_TRY(map_range(batch, id, volume, Range{from, to - from, hole_of(sequence)}));
    unit = written.next_set(behind, unit_end);
  }
  return {};
}

// The same content under a new seal: no change, so nothing is saved. Histories that name the extent
// show the new one too: else it would keep its space until the last of them is dropped.
Result<> Index::Impl::rewrite(Batch& batch, const format::Operation& operation) {
  const auto& body = std::get<format::WriteBody>(operation.body);
  SQ_TRY(check_writes(body));
  if (body.expected.size() != body.extents.size())
    return Error{Code::kCorrupt, "index: a rewrite that does not say what it read"};
  for (const auto& table : tables_of(groups[operation.group], operation.group, body.volume)) {
    for (std::size_t i = 0; i < body.extents.size(); ++i) {
      const auto& extent = body.extents[i];
      const auto end = extent.offset + extent.extent.plain_bytes;
      SQ_TRY(const auto found, batch.overlapping(table, extent.offset, end));
      for (const auto& range : found) {
        if (range.mapping.hole) continue;
        if (range.mapping.extent.id != body.expected[i] && !SQ_PLANTED("rewrite_overwrites_newer"))
          continue;
        const auto part = clip(range, extent.offset, end);
        SQ_TRY(batch.replace(table, part.offset, part.end(),
                             mapping_of(extent.extent, part.offset - extent.offset)));
        note_rewritten(batch, operation, body.volume, part.offset, part.end());
      }
    }
  }
  return {};
}

// ---- reading

// [from, to) is not mapped: never written, or damage.
Result<> Index::Impl::fill_unmapped(GroupId id, VolumeId volume, std::uint64_t from,
                                    std::uint64_t to, std::vector<Piece>& pieces) const {
  if (from >= to) return {};
  const auto* group = find_group(id);
  const auto written =
      group ? group->written.find(volume) : std::map<VolumeId, WrittenMap>::const_iterator{};
  if (group && written != group->written.end() && !SQ_PLANTED("lost_entry_reads_zero")) {
    const auto unit_end = to / kUnit + (to % kUnit != 0 ? 1 : 0);
    const auto unit = written->second.next_set(from / kUnit, unit_end);
    if (unit < unit_end) {
      const auto behind = written->second.next_clear(unit, unit_end);
      return Error{Code::kDataLoss, "written, but lost from the index: " +
                                        range_text(volume, std::max(from, unit * kUnit),
                                                   std::min(to, behind * kUnit))};
    }
  }
  pieces.push_back({from, to - from, std::nullopt});
  return {};
}

Result<std::vector<Piece>> Index::Impl::content(Batch& view, GroupId id, VolumeId volume,
                                                std::size_t first, std::uint64_t from,
                                                std::uint64_t to) {
  std::vector<Piece> pieces;
  if (from >= to) return pieces;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> open{{from, to}}, still;
  const auto* group = find_group(id);
  const auto count = group ? group->snapshots.size() : 0;
  for (auto i = first; i <= count && !open.empty(); ++i) {
    const auto table = i == count ? Table::present(id, volume)
                                  : Table::history(id, group->snapshots[i].id.sequence, volume);
    still.clear();
    for (auto [at, end] : open) {
      SQ_TRY(const auto found, view.overlapping(table, at, end));
      for (const auto& range : found) {
        const auto part = clip(range, at, end);
        if (at < part.offset) still.emplace_back(at, part.offset);
        pieces.push_back({part.offset, part.length, part.mapping});
        at = part.end();
      }
      if (at < end) still.emplace_back(at, end);
    }
    open.swap(still);
  }
  for (const auto& [at, end] : open) SQ_TRY(fill_unmapped(id, volume, at, end, pieces));
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  return pieces;
}

// ---- purge

// Takes away up to about `entries_max` mappings, in the present or in one history.
Result<> Index::Impl::purge_some(Batch& batch, GroupId id, VolumeId volume, std::size_t entries_max,
                                 bool& more) {
  auto& group = groups[id];
  for (const auto& table : tables_of(group, id, volume)) {
    std::uint64_t end = 0;
    std::size_t entries = 0;
    const auto prefix = format::volume_prefix(table.prefix, volume);
    SQ_TRY(batch.walk(table.family, prefix, prefix, [&](Bytes key, Bytes) -> Result<bool> {
      SQ_TRY(const auto range, format::parse_range_key(key, table.prefix.size()));
      end = range.end;
      return ++entries < entries_max;
    }));
    if (entries == 0) continue;
    more = true;
    end = align_up(end, kUnit);
    SQ_TRY(batch.replace(table, 0, end, std::nullopt));
    if (table.family != Family::kPresent) return {};
    auto& written = group.written[volume];
    for (auto unit = written.next_set(0, end / kUnit); unit < end / kUnit;
         unit = written.next_set(unit, end / kUnit))
      batch.dirty_pages.insert({id, volume, written.clear(unit)});
    return {};
  }
  more = false;
  group.written.erase(volume);
  group.purges.erase(volume);
  group.roots.tree.forget(volume);
  SQ_TRY(erase_meta(batch,
                    format::meta_prefix({format::MetaKey::Kind::kRewritten, id, volume.value, 0})));
  batch.erase(Family::kMeta,
              encode(format::MetaKey{format::MetaKey::Kind::kPurge, id, volume.value, 0}));
  return {};
}

Result<bool> Index::purge_step(GroupId group, std::size_t entries_max) {
  if (impl_->broken) return *impl_->broken;
  const auto* state = impl_->find_group(group);
  if (!state) return false;
  Batch view(*impl_->kv);
  std::optional<VolumeId> ready;
  std::size_t ready_count = 0;
  for (const auto volume : state->purges) {
    SQ_TRY(const bool named, impl_->named_somewhere(view, group, volume));
    if (named) continue;
    if (!ready) ready = volume;
    ++ready_count;
  }
  if (!ready) return false;
  bool more = false;
  SQ_TRY(impl_->change([&](Batch& batch) {
    return impl_->purge_some(batch, group, *ready, std::max<std::size_t>(entries_max, 1), more);
  }));
  return more || ready_count > 1;
}

}  // namespace square::index
