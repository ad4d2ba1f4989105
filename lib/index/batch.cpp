#include "index/batch.hpp"

#include <algorithm>

namespace square::index {

Range clip(const Range& range, std::uint64_t from, std::uint64_t to) {
  Range part = range;
  part.offset = std::max(range.offset, from);
  part.length = std::min(range.end(), to) - part.offset;
  if (!part.mapping.hole)
    part.mapping.extent_offset += static_cast<std::uint32_t>(part.offset - range.offset);
  return part;
}

bool same_extent(const format::Mapping& a, const format::Mapping& b) {
  return !a.hole && !b.hole && a.extent.id == b.extent.id;
}

Table Table::present(GroupId group, VolumeId volume) {
  return {Family::kPresent, format::present_prefix(group), volume};
}
Table Table::history(GroupId group, Sequence snapshot, VolumeId volume) {
  return {Family::kHistory, format::history_prefix(group, snapshot), volume};
}

KvIterator& Batch::base(Family family) {
  auto& iterator = bases_[static_cast<std::size_t>(family)];
  if (!iterator) iterator = kv_.iterate(family);
  return *iterator;
}

Result<std::optional<ByteVector>> Batch::get(Family family, const std::string& key) {
  const auto changed = overlay(family).find(key);
  if (changed != overlay(family).end()) return changed->second;
  return kv_.get(family, as_bytes(key));
}

void Batch::put(Family family, std::string key, ByteVector value) {
  overlay(family).insert_or_assign(std::move(key), std::move(value));
}

void Batch::erase(Family family, std::string key) {
  overlay(family).insert_or_assign(std::move(key), std::nullopt);
}

Result<> Batch::walk(Family family, const std::string& prefix, const std::string& from,
                     const Visit& visit) {
  auto& stored = base(family);
  stored.seek(as_bytes(from));
  auto changed = overlay(family).lower_bound(from);
  const auto end = overlay(family).end();
  while (true) {
    const bool more_stored = stored.valid() && as_text(stored.key()).starts_with(prefix);
    const bool more_changed = changed != end && changed->first.starts_with(prefix);
    if (!more_stored && !stored.valid()) SQ_TRY(stored.status());
    if (!more_stored && !more_changed) return {};
    const int order = !more_stored    ? 1
                      : !more_changed ? -1
                                      : as_text(stored.key()).compare(changed->first);
    if (order < 0) {
      SQ_TRY(const bool go_on, visit(stored.key(), stored.value()));
      if (!go_on) return {};
    } else if (changed->second) {
      SQ_TRY(const bool go_on, visit(as_bytes(changed->first), *changed->second));
      if (!go_on) return {};
    }
    if (order <= 0) stored.next();
    if (order >= 0) ++changed;
  }
}

Result<std::vector<Range>> Batch::overlapping(const Table& table, std::uint64_t from,
                                              std::uint64_t to) {
  std::vector<Range> found;
  const auto prefix = format::volume_prefix(table.prefix, table.volume);
  const auto first = format::range_key(table.prefix, {table.volume, from + 1});
  SQ_TRY(walk(table.family, prefix, first, [&](Bytes key, Bytes bytes) -> Result<bool> {
    SQ_TRY(const auto place, format::parse_range_key(key, table.prefix.size()));
    SQ_TRY(auto value, format::decode_range_value(bytes));
    if (value.length > place.end) return Error{Code::kCorrupt, "index: range before the volume"};
    if (place.end - value.length >= to) return false;
    found.push_back({place.end - value.length, value.length, std::move(value.mapping)});
    return true;
  }));
  return found;
}

Result<std::vector<Range>> Batch::replace(const Table& table, std::uint64_t from, std::uint64_t to,
                                          const std::optional<format::Mapping>& mapping) {
  const bool hole = mapping && mapping->hole;
  SQ_TRY(const auto found,
         overlapping(table, hole && from > 0 ? from - 1 : from, hole ? to + 1 : to));
  std::vector<Range> old;
  auto wanted = Range{from, to - from, mapping.value_or(format::Mapping{})};
  // Joins a hole beside or around the wanted one, or keeps what sticks out.
  const auto keep = [&](const Range& rest) {
    if (!hole || !rest.mapping.hole) return put_range(table, rest);
    const auto end = std::max(wanted.end(), rest.end());
    wanted.offset = std::min(wanted.offset, rest.offset);
    wanted.length = end - wanted.offset;
    wanted.mapping.hole_sequence =
        std::max(wanted.mapping.hole_sequence, rest.mapping.hole_sequence);
  };
  for (const auto& range : found) {
    if (range.end() <= from || range.offset >= to) {  // only touches
      if (!range.mapping.hole) continue;
      erase_range(table, range);
      keep(range);
      continue;
    }
    erase_range(table, range);
    old.push_back(clip(range, from, to));
    if (range.offset < from) keep(clip(range, range.offset, from));
    if (range.end() > to) keep(clip(range, to, range.end()));
  }
  if (mapping) put_range(table, wanted);
  return old;
}

Result<> Batch::insert_absent(const Table& table, const Range& range) {
  SQ_TRY(const auto found, overlapping(table, range.offset, range.end()));
  auto at = range.offset;
  const auto fill = [&](std::uint64_t to) -> Result<> {
    if (at >= to) return {};
    const auto part = clip(range, at, to);
    if (!part.mapping.hole) {
      put_range(table, part);
      return {};
    }
    SQ_TRY(const auto none, replace(table, part.offset, part.end(), part.mapping));
    SQ_CHECK(none.empty());
    return {};
  };
  for (const auto& there : found) {
    SQ_TRY(fill(there.offset));
    at = there.end();
  }
  return fill(range.end());
}

void Batch::count(const Range& range, std::int64_t sign) {
  if (range.mapping.hole) return;
  const auto& place = range.mapping.extent.place;
  deltas[{place.segment, place.generation}].live += sign * static_cast<std::int64_t>(range.length);
}

void Batch::put_range(const Table& table, const Range& range) {
  count(range, 1);
  put(table.family, format::range_key(table.prefix, {table.volume, range.end()}),
      format::encode(format::RangeValue{range.length, range.mapping}));
}

void Batch::erase_range(const Table& table, const Range& range) {
  count(range, -1);
  erase(table.family, format::range_key(table.prefix, {table.volume, range.end()}));
}

Result<> Batch::write() {
  KvBatch out;
  for (std::size_t family = 0; family < kFamilies; ++family) {
    bases_[family].reset();
    for (const auto& [key, value] : overlays_[family]) {
      if (value)
        out.put(static_cast<Family>(family), as_bytes(key), *value);
      else
        out.erase(static_cast<Family>(family), as_bytes(key));
    }
  }
  if (out.empty()) return {};
  return kv_.write(out);
}

}  // namespace square::index
