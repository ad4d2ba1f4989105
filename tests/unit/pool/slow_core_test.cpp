#include "pool/slow_core.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::pool;
using namespace std::chrono_literals;

namespace {

const Slot kA(3), kB(4), kC(5);

struct Time {
  env::BootTime now{1'000'000'000};
  env::BootTime operator()(env::Duration later) { return now = now + later; }
};

// As many looks as fit, one a second.
void look_for(SlowCore& core, Slot slot, env::Duration how_long, std::optional<bool> behind,
              Time& time) {
  for (env::Duration at{0}; at < how_long; at += 1s) core.look(slot, behind, time(1s));
}

}  // namespace

TEST_CASE("a write is late by what its peers usually take, but never within tens of milliseconds") {
  CHECK(SlowCore::late_after(std::nullopt) == SlowCore::kLateUnknown);
  CHECK(SlowCore::late_after(1ms) == SlowCore::kLateMin);
  CHECK(SlowCore::late_after(50ms) == 50ms * SlowCore::kLateFactor);
  CHECK_FALSE(SlowCore::is_behind(19ms, 1us));
  CHECK_FALSE(SlowCore::is_behind(100ms, 20ms));
  CHECK(SlowCore::is_behind(100ms, 10ms));
}

TEST_CASE("a late member is set aside for a while, each time for longer, and forgiven after long") {
  SlowCore core(10, 2);
  Time time;
  env::Duration expected = 1s;
  for (int i = 0; i < 9; ++i) {
    REQUIRE(core.late(kA, time.now));
    CHECK(core.aside(kA));
    CHECK(core.late(kA, time(1ms)));  // already: that changes nothing
    CHECK_FALSE(core.may_return(kA, time(expected - 2ms)));
    REQUIRE(core.may_return(kA, time(1ms)));
    core.came_back(kA, time.now);
    CHECK_FALSE(core.aside(kA));
    expected = std::min<env::Duration>(expected * 2, 64s);
  }
  core.late(kA, time(10min));
  CHECK(core.may_return(kA, time(1s)));
}

TEST_CASE("no more than m are set aside at once, so that one slow pool is no empty pool") {
  SlowCore core(10, 2);
  Time time;
  CHECK(core.late(kA, time.now));
  CHECK(core.late(kB, time.now));
  CHECK_FALSE(core.late(kC, time.now));
  CHECK(core.late(kA, time.now));
  CHECK(core.asides() == 2);
  core.came_back(kA, time(1s));
  CHECK(core.late(kC, time.now));
}

TEST_CASE("a member is slow only after a minute behind, and fine only after as long again") {
  SlowCore core(10, 2);
  Time time;
  look_for(core, kA, 50s, true, time);
  CHECK_FALSE(core.slow(kA));
  look_for(core, kA, 30s, false, time);
  look_for(core, kA, 35s, true, time);
  CHECK_FALSE(core.slow(kA));
  look_for(core, kA, 10s, true, time);
  CHECK(core.slow(kA));
  look_for(core, kA, 30s, false, time);
  CHECK(core.slow(kA));
  look_for(core, kA, 20s, true, time);
  look_for(core, kA, 49s, false, time);
  CHECK(core.slow(kA));
  look_for(core, kA, 3s, false, time);
  CHECK_FALSE(core.slow(kA));
  CHECK_FALSE(core.slow(kB));
}

TEST_CASE("a member that nobody asks anything is neither behind nor making up for it") {
  SlowCore core(10, 2);
  Time time;
  look_for(core, kA, 70s, true, time);
  REQUIRE(core.slow(kA));
  look_for(core, kA, 600s, std::nullopt, time);
  CHECK(core.slow(kA));
  look_for(core, kB, 600s, std::nullopt, time);
  CHECK_FALSE(core.slow(kB));
}

TEST_CASE("time that is spent aside counts as behind, and another disk in the slot starts fresh") {
  SlowCore core(10, 2);
  Time time;
  core.late(kA, time.now);
  look_for(core, kA, 62s, std::nullopt, time);
  CHECK(core.slow(kA));
  core.forget(kA);
  CHECK_FALSE(core.slow(kA));
  CHECK_FALSE(core.aside(kA));
}

TEST_CASE("a gap between two looks does not count for more than a few seconds") {
  SlowCore core(10, 2);
  Time time;
  core.look(kA, true, time(1s));
  core.look(kA, true, time(10min));
  CHECK_FALSE(core.slow(kA));
}
