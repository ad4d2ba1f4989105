#include "store/memory_map.hpp"

#include <algorithm>

namespace square::store {

using format::HoleBody;
using format::Mapping;
using format::Operation;

// After this no entry spans `offset`.
void MemoryMap::split_at(Ranges& ranges, std::uint64_t offset) {
  auto after = ranges.lower_bound(offset);
  if (after == ranges.begin()) return;
  auto& [start, entry] = *std::prev(after);
  if (start + entry.length <= offset) return;
  Entry tail = entry;
  const auto head_bytes = offset - start;
  tail.length -= head_bytes;
  if (!tail.mapping.hole) tail.mapping.extent_offset += static_cast<std::uint32_t>(head_bytes);
  entry.length = head_bytes;
  ranges.emplace_hint(after, offset, std::move(tail));
}

void MemoryMap::cut(Ranges& ranges, std::uint64_t offset, std::uint64_t length) {
  split_at(ranges, offset);
  split_at(ranges, offset + length);
  ranges.erase(ranges.lower_bound(offset), ranges.lower_bound(offset + length));
}

void MemoryMap::enter(const Operation& operation, const std::vector<Buffer>& stored) {
  if (operation.type == format::OperationType::kRewrite) return;
  if (const auto* body = operation.writes()) {
    auto& ranges = volumes_[body->volume];
    for (std::size_t i = 0; i < body->extents.size(); ++i) {
      const auto& [offset, extent] = body->extents[i];
      cut(ranges, offset, extent.plain_bytes);
      Mapping mapping;
      mapping.hole = false;
      mapping.extent = extent;
      ranges.emplace(offset, Entry{extent.plain_bytes, operation.sequence, mapping,
                                   i < stored.size() ? stored[i] : Buffer{}});
    }
  } else if (const auto* hole = std::get_if<HoleBody>(&operation.body)) {
    auto& ranges = volumes_[hole->volume];
    cut(ranges, hole->offset, hole->length);
    Mapping mapping;
    mapping.hole_sequence = operation.sequence;
    ranges.emplace(hole->offset, Entry{hole->length, operation.sequence, mapping, {}});
  }
}

std::vector<MemoryPiece> MemoryMap::lookup(VolumeId volume, std::uint64_t offset,
                                           std::uint64_t length) const {
  std::vector<MemoryPiece> out;
  const auto end = offset + length;
  auto at = offset;
  const auto unknown_up_to = [&](std::uint64_t to) {
    if (at >= to) return;
    MemoryPiece piece;
    piece.offset = at;
    piece.length = to - at;
    out.push_back(std::move(piece));
    at = to;
  };
  if (const auto found = volumes_.find(volume); found != volumes_.end()) {
    const auto& ranges = found->second;
    auto it = ranges.upper_bound(offset);
    if (it != ranges.begin()) --it;
    for (; it != ranges.end() && it->first < end; ++it) {
      const auto& [start, entry] = *it;
      if (start + entry.length <= at) continue;
      unknown_up_to(std::max(start, at));
      MemoryPiece piece;
      piece.offset = at;
      piece.length = std::min(start + entry.length, end) - at;
      piece.known = true;
      piece.sequence = entry.sequence;
      piece.mapping = entry.mapping;
      if (!piece.mapping.hole)
        piece.mapping.extent_offset += static_cast<std::uint32_t>(at - start);
      piece.stored = entry.stored;
      at += piece.length;
      out.push_back(std::move(piece));
    }
  }
  unknown_up_to(end);
  return out;
}

void MemoryMap::forget(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                       Sequence sequence) {
  const auto found = volumes_.find(volume);
  if (found == volumes_.end()) return;
  auto& ranges = found->second;
  for (auto it = ranges.lower_bound(offset); it != ranges.end() && it->first < offset + length;)
    it = it->second.sequence == sequence ? ranges.erase(it) : std::next(it);
  if (ranges.empty()) volumes_.erase(found);
}

void MemoryMap::applied(const Operation& operation) {
  if (operation.type == format::OperationType::kRewrite) return;
  if (const auto* body = operation.writes()) {
    for (const auto& [offset, extent] : body->extents)
      forget(body->volume, offset, extent.plain_bytes, operation.sequence);
  } else if (const auto* hole = std::get_if<HoleBody>(&operation.body)) {
    forget(hole->volume, hole->offset, hole->length, operation.sequence);
  }
}

std::size_t MemoryMap::pieces() const {
  std::size_t count = 0;
  for (const auto& [volume, ranges] : volumes_) count += ranges.size();
  return count;
}

}  // namespace square::store
