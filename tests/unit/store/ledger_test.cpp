#include "store/ledger.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::store;

namespace {

constexpr LanePosition kDurable{100};

}  // namespace

TEST_CASE("the tail stands at the lowest record that is still needed") {
  LaneLedger ledger;
  CHECK(ledger.tail(kDurable) == kDurable);
  auto first = ledger.hold(LanePosition(40));
  auto second = ledger.hold(LanePosition(60));
  CHECK(ledger.tail(kDurable) == LanePosition(40));
  first.release();
  CHECK(ledger.tail(kDurable) == LanePosition(60));
}

TEST_CASE("a record is held from the moment it is durable, before its appender has looked at it") {
  LaneLedger ledger;
  ledger.arrived(LanePosition(40));
  CHECK(ledger.tail(kDurable) == LanePosition(40));
  {
    const auto hold = ledger.claim(LanePosition(40));
    CHECK(ledger.tail(kDurable) == LanePosition(40));
  }
  CHECK(ledger.tail(kDurable) == kDurable);
}

TEST_CASE("an applied record is needed until a checkpoint holds its effect") {
  LaneLedger ledger;
  ledger.applied(ledger.hold(LanePosition(40)));
  auto later = ledger.hold(LanePosition(60));
  CHECK(ledger.unapplied_from(kDurable) == LanePosition(60));
  {
    const auto covered = ledger.begin_checkpoint();
    CHECK(ledger.tail(kDurable) == LanePosition(40));
  }
  CHECK(ledger.tail(kDurable) == LanePosition(60));
}

TEST_CASE("a checkpoint that failed gives its records back, and the next one covers them") {
  LaneLedger ledger;
  ledger.applied(ledger.hold(LanePosition(40)));
  auto covered = ledger.begin_checkpoint();
  for (auto& hold : covered) ledger.applied(std::move(hold));
  covered.clear();
  CHECK(ledger.tail(kDurable) == LanePosition(40));
  ledger.begin_checkpoint();
  CHECK(ledger.tail(kDurable) == kDurable);
}

TEST_CASE("two records at one position are counted apart") {
  LaneLedger ledger;
  const auto kept = ledger.hold(LanePosition(40));
  ledger.applied(ledger.hold(LanePosition(40)));
  CHECK(ledger.unapplied_from(kDurable) == LanePosition(40));
  ledger.begin_checkpoint();
  CHECK(ledger.tail(kDurable) == LanePosition(40));
}
