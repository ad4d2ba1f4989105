#include "store/retention_clock.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace std::chrono_literals;
using store::RetentionClock;

namespace {

constexpr std::int64_t kDay = std::chrono::nanoseconds(24h).count();
constexpr std::int64_t kNow = 20'000 * kDay;

std::int64_t after_start(std::int64_t seen, std::int64_t wall) {
  RetentionClock clock;
  clock.seen(seen);
  clock.start({wall}, {5});
  return clock.now({5});
}

}  // namespace

TEST_CASE("the retention clock of a new group shows the calendar") {
  CHECK(after_start(0, kNow) == kNow);
}

TEST_CASE("the retention clock moves with the time since boot and with nothing else") {
  RetentionClock clock;
  clock.start({kNow}, {100});
  CHECK(clock.now({100}) == kNow);
  CHECK(clock.now({100 + kDay}) == kNow + kDay);
}

TEST_CASE("a start puts the retention clock forward to the calendar, by a day at most") {
  CHECK(after_start(kNow, kNow + kDay / 2) == kNow + kDay / 2);
  CHECK(after_start(kNow, kNow + 3650 * kDay) == kNow + kDay);
}

TEST_CASE("a calendar that was set back does not set the retention clock back") {
  CHECK(after_start(kNow, kNow - 3650 * kDay) == kNow);
  CHECK(after_start(kNow, 0) == kNow);
}

TEST_CASE("the latest time that was seen counts, in whatever order they come") {
  RetentionClock clock;
  clock.seen(kNow);
  clock.seen(kNow - kDay);
  clock.start({0}, {0});
  CHECK(clock.now({0}) == kNow);
}
