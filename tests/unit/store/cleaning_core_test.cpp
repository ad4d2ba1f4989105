// When to clean, and what.
#include "store/cleaning_core.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::store;

namespace {

index::SegmentUse use_of(std::uint32_t segment, std::uint32_t written, std::uint64_t live) {
  index::SegmentUse use;
  use.segment = SegmentId(segment);
  use.generation = {1, written};
  use.live_bytes = live;
  use.total_bytes = 100;
  return use;
}

std::vector<std::uint32_t> ids(const std::vector<index::SegmentUse>& uses) {
  std::vector<std::uint32_t> list;
  for (const auto& use : uses) list.push_back(use.segment.value);
  return list;
}

SegmentYield yield_of(std::uint64_t kept, std::uint64_t shown) {
  return {.total_bytes = 1000, .kept_bytes = kept, .kept_content = kept, .shown_content = shown};
}

const auto kAll = [](const index::SegmentUse&) { return true; };

}  // namespace

TEST_CASE(
    "of segments of one age, the emptiest is cleaned first; of equally full ones, the oldest") {
  const std::vector<index::SegmentUse> uses{use_of(0, 3, 50), use_of(1, 2, 50), use_of(2, 1, 50)};
  CHECK(ids(victims(uses, kAll)) == std::vector<std::uint32_t>{2, 1, 0});
  const std::vector<index::SegmentUse> others{use_of(0, 1, 80), use_of(1, 2, 10), use_of(2, 3, 70)};
  CHECK(ids(victims(others, kAll)).front() == 1);
}

TEST_CASE("what is dead, nearly full or asked to be left alone is no victim") {
  const std::vector<index::SegmentUse> uses{use_of(0, 1, 0), use_of(1, 2, 91), use_of(2, 3, 90),
                                            use_of(3, 4, 20)};
  const auto not_three = [](const index::SegmentUse& use) { return use.segment.value != 3; };
  CHECK(ids(victims(uses, not_three)) == std::vector<std::uint32_t>{2});
}

TEST_CASE("what moving gives back is moved, and what is only hidden is sealed anew") {
  CHECK(remedy(yield_of(500, 500), true) == Remedy::kMove);
  CHECK(remedy(yield_of(1000, 500), true) == Remedy::kTrim);
  CHECK(remedy(yield_of(1000, 500), false) == Remedy::kNone);
  CHECK(remedy(yield_of(700, 500), true) == Remedy::kTrim);
  CHECK(remedy(yield_of(700, 500), false) == Remedy::kMove);
  CHECK(remedy(yield_of(980, 970), true) == Remedy::kNone);
}

TEST_CASE(
    "the cleaner begins before writers have to wait, and rewriting may go on when they must") {
  pool::PoolRoom room;
  room.segments = 100;
  room.segments_kept = 6;
  room.segment_bytes = 16u << 20;
  room.capacity_bytes = room.segments * room.segment_bytes;
  const std::uint64_t buffer = 16u << 20;
  const auto needed = room_reserve_bytes(room, RoomFor::kClients) + buffer + buffer / 8;
  const auto fresh = segments_wanted(room, buffer) - room.segments_kept;
  CHECK(fresh * room.segment_bytes >= needed + 2 * room.segment_bytes);
  CHECK(room_reserve_bytes(room, RoomFor::kRewriting) <
        room_reserve_bytes(room, RoomFor::kClients) - room.segment_bytes);
}
