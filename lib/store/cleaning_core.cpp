#include "store/cleaning_core.hpp"

#include <algorithm>

namespace square::store {

namespace {

constexpr std::uint64_t kReserveSegments = 2;
constexpr std::uint64_t kReservePercent = 2;
constexpr std::uint32_t kAheadSegments = 3;
constexpr std::uint32_t kAheadPercent = 2;
constexpr std::uint32_t kCheckpointShare = 64;  // of all segments
constexpr std::uint64_t kShownPercentMax = 90;  // above, a segment gives too little back
constexpr std::uint64_t kHiddenShare = 32;      // one part in so many, and sealing anew comes first
constexpr std::uint64_t kDeadPercentMin = 5;    // moving a segment gives back at least this

}  // namespace

std::uint64_t room_reserve_bytes(const pool::PoolRoom& room, RoomFor who) {
  const auto reserve =
      std::max(room.segment_bytes * kReserveSegments, room.capacity_bytes / 100 * kReservePercent);
  return who == RoomFor::kClients ? reserve : reserve / 4;
}

std::uint32_t segments_wanted(const pool::PoolRoom& room, std::uint64_t write_buffer_bytes) {
  const auto bytes = room_reserve_bytes(room, RoomFor::kClients) + write_buffer_bytes * 9 / 8;
  const auto ahead = std::max(kAheadSegments, room.segments * kAheadPercent / 100);
  const auto segment_bytes = std::max<std::uint64_t>(room.segment_bytes, 1);
  return room.segments_kept + static_cast<std::uint32_t>(bytes / segment_bytes) + 1 + ahead;
}

std::uint32_t segments_worth_checkpoint(const pool::PoolRoom& room) {
  return std::max(2u, room.segments / kCheckpointShare);
}

std::vector<index::SegmentUse> victims(std::span<const index::SegmentUse> uses,
                                       const std::function<bool(const index::SegmentUse&)>& may) {
  std::vector<index::SegmentUse> found;
  for (const auto& use : uses)
    if (use.live_bytes > 0 && use.live_bytes * 100 <= use.total_bytes * kShownPercentMax &&
        may(use))
      found.push_back(use);
  // Generations are given in the order of time; the oldest is first.
  std::ranges::sort(found, {}, &index::SegmentUse::generation);
  struct Scored {
    double score;
    std::size_t at;
  };
  std::vector<Scored> scored;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto shown =
        static_cast<double>(found[i].live_bytes) / static_cast<double>(found[i].total_bytes);
    const auto age = static_cast<double>(found.size() - i);
    scored.push_back({(1 - shown) * age / (1 + shown), i});
  }
  std::ranges::sort(scored, [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.at < b.at;
  });
  std::vector<index::SegmentUse> sorted;
  for (const auto& each : scored) sorted.push_back(found[each.at]);
  return sorted;
}

Remedy remedy(const SegmentYield& segment, bool trim_possible) {
  const auto dead = segment.total_bytes - std::min(segment.total_bytes, segment.kept_bytes);
  const auto hidden = segment.kept_content - std::min(segment.kept_content, segment.shown_content);
  const bool worth_it = (dead + hidden) * 100 >= segment.total_bytes * (100 - kShownPercentMax);
  if (worth_it && trim_possible && hidden * kHiddenShare >= segment.total_bytes)
    return Remedy::kTrim;
  if (dead * 100 >= segment.total_bytes * kDeadPercentMin) return Remedy::kMove;
  return Remedy::kNone;
}

}  // namespace square::store
