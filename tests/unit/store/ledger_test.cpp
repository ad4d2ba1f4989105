#include "store/ledger.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::store;

TEST_CASE("the tail stands at the lowest record that is still needed") {
  LaneLedger ledger;
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(100));
  auto first = ledger.hold(LanePosition(40));
  auto second = ledger.hold(LanePosition(60));
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(40));
  first.release();
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(60));
}

TEST_CASE("a record is held from the moment it is durable, before its appender has looked at it") {
  LaneLedger ledger;
  ledger.arrived(LanePosition(40));
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(40));
  {
    const auto hold = ledger.claim(LanePosition(40));
    CHECK(ledger.tail(LanePosition(100)) == LanePosition(40));
  }
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(100));
}

TEST_CASE("an applied record is needed until a checkpoint holds its effect") {
  LaneLedger ledger;
  ledger.applied(ledger.hold(LanePosition(40)));
  auto later = ledger.hold(LanePosition(60));
  {
    const auto covered = ledger.begin_checkpoint();
    CHECK(ledger.tail(LanePosition(100)) == LanePosition(40));
    CHECK(ledger.tail_without(covered, LanePosition(100)) == LanePosition(60));
  }
  CHECK(ledger.tail(LanePosition(100)) == LanePosition(60));
}

TEST_CASE("two records at one position are counted apart") {
  LaneLedger ledger;
  auto kept = ledger.hold(LanePosition(40));
  ledger.applied(ledger.hold(LanePosition(40)));
  const auto covered = ledger.begin_checkpoint();
  CHECK(ledger.tail_without(covered, LanePosition(100)) == LanePosition(40));
}
