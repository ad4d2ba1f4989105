#include "access/operations.hpp"

#include "unit/pool/pool_fixture.hpp"

using namespace square;
using namespace square::access;
using format::LongOperation;
using format::LongOperationState;
using pool::test::Cluster;
using pool::test::Shape;

namespace {

LongOperation operation(const std::string& id, LongOperationState state) {
  LongOperation o;
  o.id = id;
  o.kind = "scrub";
  o.state = state;
  return o;
}

// A pool with stripes in it, and the list of operations of its node.
struct Bench {
  Bench() : t(Shape{4, 2, 1}) {
    t.ready();
    REQUIRE(t.node.files().make_folder("/state").ok());
    for (int i = 0; i < 120; ++i) REQUIRE(t.store({50'000, 9'000, 70'000}).ok());
    REQUIRE(t.checkpoint(1, {1}).ok());
    open();
  }
  void open(env::Duration scrub_interval = {}) {
    operations.emplace(
        t.node.env(), *t.pool, "/state/operations",
        [this](LogLevel, std::string_view line) { log += std::string(line) + "\n"; },
        ScrubSchedule(scrub_interval));
    operations->open();
  }
  void slow() { t.pool->set_repair_pace({1u << 20, 256u << 10}); }
  LongOperation state(const std::string& id) { return operations->find(id).value(); }
  void run_until_ended(const std::string& id) {
    for (int i = 0; i < 1000 && state(id).state == LongOperationState::kRunning; ++i)
      t.world.run_for(std::chrono::milliseconds(100));
    REQUIRE(state(id).state != LongOperationState::kRunning);
  }
  void spoil_one() {
    const auto& stripe = t.catalog.stripes.back();
    const auto offset = pool::chunk_offset(t.pool->geometry(), stripe.segment) +
                        std::uint64_t{stripe.stripe_block} * kBlockBytes;
    t.medium(stripe.slots[0].value).spoil(offset, kBlockBytes, 1);
  }

  Cluster t;
  std::string log;
  std::optional<Operations> operations;
};

}  // namespace

TEST_CASE("the oldest operations that have ended are forgotten, those that run are not") {
  OperationTable table;
  table.add(operation("first", LongOperationState::kRunning));
  for (std::size_t i = 0; i < OperationTable::kKept + 5; ++i)
    table.add(operation(std::to_string(i), LongOperationState::kDone));
  CHECK(table.all().size() == OperationTable::kKept);
  CHECK(table.find("first").ok());
  CHECK(table.find("5").code() == Code::kNotFound);
  CHECK(table.find("104").ok());
  CHECK(table.running("scrub")->id == "first");
  CHECK(table.running("other") == nullptr);
}

TEST_CASE("a scrub has failed when something is lost, unrepaired or was not looked at") {
  const auto ended = [](auto change, bool complete = true) {
    auto o = operation("a", LongOperationState::kRunning);
    change(o);
    end_scrub(o, complete, 7);
    CHECK(o.ended_wall_ns == 7);
    return o.state;
  };
  CHECK(ended([](LongOperation&) {}) == LongOperationState::kDone);
  CHECK(ended([](LongOperation& o) { o.corruptions_found = o.corruptions_repaired = 3; }) ==
        LongOperationState::kDone);
  CHECK(ended([](LongOperation& o) { o.corruptions_found = 3; }) == LongOperationState::kFailed);
  CHECK(ended([](LongOperation& o) { o.stripes_lost = 1; }) == LongOperationState::kFailed);
  CHECK(ended([](LongOperation&) {}, false) == LongOperationState::kFailed);
}

TEST_CASE("a scrub is an operation that can be followed to its end") {
  Bench b;
  b.spoil_one();
  const auto begun = b.operations->start_scrub();
  INFO((begun.ok() ? std::string() : begun.error().message));
  REQUIRE(begun.ok());
  CHECK(begun->id.starts_with("scrub-"));
  CHECK(b.operations->start_scrub().code() == Code::kBusy);
  b.run_until_ended(begun->id);
  const auto ended = b.state(begun->id);
  CHECK(ended.state == LongOperationState::kDone);
  CHECK(ended.message == "repaired");
  CHECK(ended.corruptions_found == 1);
  CHECK(ended.corruptions_repaired == 1);
  CHECK(ended.done_bytes == ended.total_bytes);
  CHECK(ended.done_bytes > 0);
  CHECK(b.operations->cancel(begun->id).code() == Code::kConflict);
  const auto second = b.operations->start_scrub();
  REQUIRE(second.ok());
  CHECK(second->id != begun->id);
  b.run_until_ended(second->id);
  CHECK(b.state(second->id).message == "clean");
  CHECK(b.operations->list().size() == 2);
}

TEST_CASE("a scrub under way goes on after a crash of the node, under the same id") {
  Bench b;
  b.slow();
  const auto id = b.operations->start_scrub()->id;
  b.t.world.run_for(std::chrono::seconds(2));
  CHECK(b.state(id).state == LongOperationState::kRunning);
  b.operations.reset();
  b.t.crash();
  b.t.reopen();
  b.open();
  CHECK(b.log.find(id + " goes on after a restart") != std::string::npos);
  CHECK(b.state(id).restarts == 1);
  CHECK(b.operations->start_scrub().code() == Code::kBusy);
  b.run_until_ended(id);
  CHECK(b.state(id).state == LongOperationState::kDone);
  b.operations.reset();
  b.t.crash();
  b.t.reopen();
  b.open();
  CHECK(b.state(id).state == LongOperationState::kDone);
  CHECK(b.state(id).restarts == 1);
}

TEST_CASE("a long scrub is noted on its way, and goes on from there after a crash") {
  Bench b;
  b.t.pool->set_repair_pace({1u << 20, 3u << 10});
  const auto id = b.operations->start_scrub()->id;
  for (int minute = 0; minute < 12; ++minute) {
    b.t.world.run_for(std::chrono::minutes(1));
    b.operations->look();
  }
  const auto before = b.state(id);
  REQUIRE(before.state == LongOperationState::kRunning);
  REQUIRE(before.done_bytes > 0);
  b.operations.reset();
  b.t.crash();
  b.t.reopen();
  b.open();
  CHECK(b.state(id).done_bytes > 0);
  b.run_until_ended(id);
  CHECK(b.state(id).state == LongOperationState::kDone);
  CHECK(b.state(id).done_bytes == b.state(id).total_bytes);
}

TEST_CASE("a cancelled scrub ends, and stays cancelled after a restart") {
  Bench b;
  b.slow();
  const auto id = b.operations->start_scrub()->id;
  b.t.world.run_for(std::chrono::seconds(1));
  CHECK(b.operations->cancel("scrub-0").code() == Code::kNotFound);
  REQUIRE(b.operations->cancel(id).ok());
  b.t.world.run_for(std::chrono::seconds(5));
  CHECK_FALSE(b.t.pool->status().scrub.active);
  CHECK(b.state(id).state == LongOperationState::kCancelled);
  b.operations.reset();
  b.t.crash();
  b.t.reopen();
  b.open();
  CHECK(b.state(id).state == LongOperationState::kCancelled);
  CHECK_FALSE(b.t.pool->status().scrub.active);
}

TEST_CASE(
    "nothing begins when the list cannot be written, and an end that could not is noted later") {
  Bench b;
  b.t.node.files().set_read_only(true);
  CHECK_FALSE(b.operations->start_scrub().ok());
  CHECK_FALSE(b.t.pool->status().scrub.active);
  CHECK(b.operations->list().empty());
  b.t.node.files().set_read_only(false);
  const auto id = b.operations->start_scrub()->id;
  b.t.node.files().set_read_only(true);
  b.run_until_ended(id);
  CHECK(b.log.find("the list of operations") != std::string::npos);
  b.t.node.files().set_read_only(false);
  b.t.world.run_for(std::chrono::minutes(1));
  b.operations->look();
  b.operations.reset();
  b.t.crash();
  b.t.reopen();
  b.open();
  CHECK(b.state(id).state == LongOperationState::kDone);
}

TEST_CASE("a list that is damaged is begun anew, and the log says so") {
  Bench b;
  REQUIRE(b.t.node.files().write_atomic("/state/operations", as_bytes("nonsense")).ok());
  b.open();
  CHECK(b.operations->list().empty());
  CHECK(b.log.find("a new list is begun") != std::string::npos);
}

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kHourNs = 3600ll * 1'000'000'000;

LongOperation scrubbed(LongOperationState state, std::int64_t began_h, std::int64_t ended_h) {
  auto o = operation("scrub-" + std::to_string(began_h), state);
  o.began_wall_ns = began_h * kHourNs;
  o.ended_wall_ns = ended_h * kHourNs;
  return o;
}

}  // namespace

TEST_CASE(
    "a scrub is due an interval after the last began, whatever the clock did, and never without "
    "one") {
  using State = LongOperationState;
  const ScrubSchedule daily(24h);
  const std::vector list{scrubbed(State::kDone, 100, 101), scrubbed(State::kFailed, 130, 131)};
  CHECK_FALSE(daily.due(list, 153 * kHourNs, 0h));
  CHECK(daily.due(list, 154 * kHourNs, 0h));
  CHECK(daily.due(list, 129 * kHourNs, 0h));  // before the last one began: the clock was set back
  // One of a time when the clock was wrong does not make it due again and again.
  const std::vector after{scrubbed(State::kDone, 900, 901), scrubbed(State::kDone, 130, 131)};
  CHECK_FALSE(daily.due(after, 132 * kHourNs, 0h));
  CHECK(daily.due(after, 154 * kHourNs, 0h));
  CHECK_FALSE(daily.overdue(after, 179 * kHourNs));
  CHECK(daily.overdue(after, 180 * kHourNs));
  CHECK_FALSE(daily.due({}, 999 * kHourNs, 59min));
  CHECK(daily.due({}, 999 * kHourNs, 1h));
  CHECK(ScrubSchedule(1min).due({}, 0, 1min));
  CHECK_FALSE(ScrubSchedule().due(list, 999 * kHourNs, 999h));

  CHECK_FALSE(daily.overdue({}, 999 * kHourNs));
  CHECK_FALSE(daily.overdue(list, 149 * kHourNs));
  CHECK(daily.overdue(list, 150 * kHourNs));  // the one that failed does not count
  CHECK(daily.overdue({scrubbed(State::kCancelled, 100, 101)}, 149 * kHourNs));
  CHECK_FALSE(ScrubSchedule().overdue(list, 999 * kHourNs));
  CHECK(last_good_scrub_ns(list) == 101 * kHourNs);
}

TEST_CASE("a scrub begins by itself when it is due, once, and again an interval later") {
  Bench bench;
  bench.open(24h);
  const auto wait = [&](env::Duration how_long) {
    for (env::Duration spent{}; spent < how_long; spent += 10min) {
      bench.t.world.run_for(10min);
      bench.operations->look();
      bench.operations->follow_schedule();
    }
    return bench.operations->list().size();
  };
  CHECK(wait(50min) == 0);
  CHECK(wait(20min) == 1);
  CHECK(wait(23h) == 1);
  CHECK(bench.operations->list()[0].state == LongOperationState::kDone);
  CHECK(wait(1h) == 2);
  bench.open(24h);  // the list knows, also after a restart
  CHECK(wait(20h) == 2);
  CHECK(wait(4h) == 3);
}
