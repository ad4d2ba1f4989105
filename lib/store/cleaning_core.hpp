#pragma once
// When to clean, and what: decisions only.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "index/index.hpp"
#include "pool/pool.hpp"

namespace square::store {

// Whoever seals new content, and how much of the room he leaves to others: destaging of what is
// accepted, cleaning, drops and recovery always find some.
enum class RoomFor : std::uint8_t { kClients, kRewriting };
std::uint64_t room_reserve_bytes(const pool::PoolRoom& room, RoomFor who);

// Free segments below which the cleaner works: as many as writers leave alone, a whole write
// buffer, and some to be ahead of them.
std::uint32_t segments_wanted(const pool::PoolRoom& room, std::uint64_t write_buffer_bytes);
// So many freed segments are worth a checkpoint while nobody waits for them.
std::uint32_t segments_worth_checkpoint(const pool::PoolRoom& room);

// Segments of which content is visible, but not nearly all, best first: what they give, times how
// long it will last (older ones change less), against what it costs. `may`: who is asked about.
std::vector<index::SegmentUse> victims(std::span<const index::SegmentUse> uses,
                                       const std::function<bool(const index::SegmentUse&)>& may);

// What can be done for the room in a segment. An extent keeps all of its space while anything shows
// a part of it, so moving gives back only what nobody shows at all; to get at the rest of it, the
// visible parts of extents are sealed anew.
enum class Remedy : std::uint8_t { kNone, kMove, kTrim };
struct SegmentYield {
  std::uint64_t total_bytes = 0;    // stored ever
  std::uint64_t kept_bytes = 0;     // stored, of extents that something shows
  std::uint64_t kept_content = 0;   // their content
  std::uint64_t shown_content = 0;  // what is shown of it
};
Remedy remedy(const SegmentYield& segment, bool trim_possible);

}  // namespace square::store
