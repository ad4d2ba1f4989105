#include "cluster/embedded_coordinator.hpp"

#include <map>

#include "base/planted.hpp"
#include "conformance/coordinator_conformance.hpp"
#include "sim/env/sim_process.hpp"

using namespace square;
using namespace square::cluster;
using conformance::group_record;

namespace {

const std::string kFile = "/state/coordinator";

struct Fixture {
  explicit Fixture(std::uint64_t seed = 1) : world(seed), node(world.add_process("k")) {
    REQUIRE(node.files().make_folder("/state").ok());
    REQUIRE(EmbeddedCoordinator::create(node.files(), node.random(), kFile).ok());
    open();
  }
  void open() {
    auto opened = EmbeddedCoordinator::open(node.loop(), node.files(), kFile);
    REQUIRE(opened.ok());
    embedded = std::move(opened).value();
  }
  env::Loop& loop() { return node.loop(); }
  void run(Task<void> task) { node.run(std::move(task)); }
  Coordinator& coordinator() { return *embedded; }
  void restart() {
    node.crash(sim::CrashKind::kPowerLoss);
    embedded.reset();
    node.restart();
    open();
  }
  Result<CoordinatorAnswer> swap(std::uint64_t expected, format::GroupRecord wanted) {
    return node.run(embedded->compare_and_swap(expected, std::move(wanted)));
  }
  Result<CoordinatorAnswer> read(std::uint32_t group) {
    return node.run(embedded->read(GroupId(group)));
  }

  sim::SimWorld world;
  sim::SimProcess& node;
  std::unique_ptr<EmbeddedCoordinator> embedded;
};

// Several who change one group in turn, each from what it read last, some of it long ago; now and
// then the coordinator restarts. True when no two changes had the same predecessor and nothing that
// was answered went back.
bool changes_are_one_chain(std::uint64_t seed) {
  Fixture t(seed);
  sim::Rng rng(seed);
  std::map<std::uint64_t, std::uint64_t> successor;
  std::vector<std::uint64_t> read(4);
  std::uint64_t newest = 0;
  for (std::uint32_t step = 1; step < 200; ++step) {
    if (rng.below(20) == 0) t.restart();
    auto& mine = read[rng.below(read.size())];
    if (rng.below(3) == 0) {
      const auto now = t.read(1);
      REQUIRE(now.ok());
      mine = now->record ? now->record->revision : 0;
      if (mine < newest) return false;
      continue;
    }
    const auto done = t.swap(mine, group_record(1, step));
    REQUIRE(done.ok());
    if (!done->swapped) continue;
    if (!successor.emplace(mine, done->record->revision).second) return false;
    newest = done->record->revision;
  }
  REQUIRE(successor.size() > 5);
  return true;
}

bool changes_are_always_one_chain() {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    if (!changes_are_one_chain(seed)) return false;
  return true;
}

}  // namespace

TEST_CASE("the embedded coordinator does what every coordinator does") {
  const auto check = [](void (*conforms)(Fixture&)) {
    Fixture fixture;
    conforms(fixture);
  };
  check(conformance::check_a_record_is_swapped_when_its_revision_stands);
  check(conformance::check_one_of_many_swaps_wins);
  check(conformance::check_groups_change_apart_under_one_revision);
  check(conformance::check_what_was_swapped_is_there_after_a_restart);
  check(conformance::check_whoever_waits_is_told_of_a_change);
}

TEST_CASE("changes of a group are one chain, over restarts of the coordinator too") {
  CHECK(changes_are_always_one_chain());
}

TEST_CASE("a coordinator's state is made once, and never anew because it is gone") {
  Fixture t;
  CHECK(EmbeddedCoordinator::create(t.node.files(), t.node.random(), kFile).code() ==
        Code::kExists);
  CHECK(EmbeddedCoordinator::open(t.node.loop(), t.node.files(), "/state/other").code() ==
        Code::kNotFound);
  REQUIRE(t.node.files().write_atomic("/state/other", as_bytes("nonsense")).ok());
  const auto damaged = EmbeddedCoordinator::open(t.node.loop(), t.node.files(), "/state/other");
  CHECK(damaged.code() == Code::kCorrupt);
  CHECK(damaged.error().message.find("/state/other") != std::string::npos);
}

TEST_CASE(
    "a change that could not be written is unknown, and nothing is answered until a restart") {
  Fixture t;
  REQUIRE(t.swap(0, group_record(1, 1))->swapped);
  t.node.files().fail_call(0, Code::kNoSpace);
  CHECK(t.swap(1, group_record(1, 2)).code() == Code::kOutcomeUnknown);
  CHECK(t.read(1).code() == Code::kNoSpace);
  CHECK_FALSE(t.swap(1, group_record(1, 2)).ok());
  CHECK_FALSE(t.node.run(t.embedded->list()).ok());
  t.restart();
  CHECK(t.read(1)->record->epoch.number == 1);
  CHECK(t.swap(1, group_record(1, 2))->swapped);
}

TEST_CASE("a coordinator refuses more groups than it can hold, and the others change on") {
  Fixture t;
  const auto fill = [&]() -> Task<void> {
    for (std::uint32_t group = 0; group < format::kCoordinatedGroupsMax; ++group)
      REQUIRE((co_await t.embedded->compare_and_swap(0, group_record(group, 1)))->swapped);
  };
  t.run(fill());
  CHECK(t.swap(0, group_record(format::kCoordinatedGroupsMax, 1)).code() == Code::kNoSpace);
  CHECK(t.swap(7, group_record(6, 2))->swapped);
  t.restart();
  CHECK(t.embedded->state().groups.size() == format::kCoordinatedGroupsMax);
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("each bug planted in the coordinator breaks the chain of changes") {
  for (const auto* name : {"swap_unconditional", "swap_not_durable"}) {
    INFO(name);
    REQUIRE(set_planted_bug(name).ok());
    CHECK_FALSE(changes_are_always_one_chain());
    clear_planted_bugs();
  }
}
#endif
