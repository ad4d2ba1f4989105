// A group's log: order, void, acknowledgement, feature level.
#include <algorithm>

#include "unit/store/group_rig.hpp"

using namespace square;
using namespace square::test;
using format::OperationType;

namespace {

Task<void> keep(Async<> task, std::optional<Result<>>* out) { out->emplace(co_await task); }
Task<void> keep_view(Async<store::SnapshotView> task,
                     std::optional<Result<store::SnapshotView>>* out) {
  out->emplace(co_await task);
}

VolumeId create(GroupRig& rig) {
  store::CreateVolume request;
  request.name = "v";
  request.size_bytes = 4u << 20;
  return must(rig.rig.run(rig.group->create_volume(request))).id;
}

void check_in_order(const WatchedLeg& leg) {
  for (std::size_t i = 0; i < leg.seen.size(); ++i) CHECK(leg.seen[i].first == Sequence(i + 1));
}

format::Operation group_record(std::uint16_t level) {
  format::GroupRecord record;
  record.incarnation = Incarnation(7);
  record.level = level;
  format::Operation operation;
  operation.type = OperationType::kPutRecord;
  operation.group = GroupId(1);
  operation.sequence = Sequence(1);
  operation.body = format::RecordBody{std::string(format::kGroupKey), format::encode(record)};
  return operation;
}

}  // namespace

TEST_CASE("operations reach the leg in sequence order, though later ones are sealed sooner") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  std::vector<std::optional<Result<>>> done(6);
  env::Scope scope(rig.rig.process.loop());
  // Large ones are sealed by a helper, small ones at once.
  for (std::size_t i = 0; i < done.size(); ++i)
    scope.spawn(keep(rig.write(volume, i << 19, blocks_of(1, i % 2 == 0 ? 100 : 1)), &done[i]));
  rig.run_until([&] { return scope.size() == 0; });
  for (const auto& one : done) must(*one);
  check_in_order(*rig.leg);
  CHECK(rig.leg->seen.back().first == rig.group->commit());
}

TEST_CASE("nothing is acknowledged before what is in front of it is durable on the leg") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  const auto first = rig.group->commit().next();
  rig.leg->held = first;
  std::optional<Result<>> one, two;
  env::Scope scope(rig.rig.process.loop());
  scope.spawn(keep(rig.write(volume, 0, blocks_of(1)), &one));
  scope.spawn(keep(rig.write(volume, 4096, blocks_of(2)), &two));
  // A seal's record is the first of them; what follows it waits for it.
  rig.run_until([&] { return !rig.leg->answered.empty() && rig.leg->answered.back() >= first; });
  rig.rig.world.run_for(std::chrono::seconds(1));
  CHECK_FALSE(one.has_value());
  CHECK_FALSE(two.has_value());
  CHECK(rig.group->commit() < first);
  rig.leg->release();
  rig.run_until([&] { return scope.size() == 0; });
  must(*one);
  must(*two);
}

TEST_CASE("a later write that is durable first is neither acknowledged nor shown first") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  must(rig.rig.run(rig.write(volume, 0, blocks_of(1))));  // so that a sealer is at hand
  const auto first = rig.group->commit().next();
  rig.leg->held = first;
  std::optional<Result<>> one, two;
  env::Scope scope(rig.rig.process.loop());
  scope.spawn(keep(rig.write(volume, 0, blocks_of(2)), &one));
  scope.spawn(keep(rig.write(volume, 4096, blocks_of(3)), &two));
  rig.run_until([&] {
    return std::ranges::find(rig.leg->answered, first.next()) != rig.leg->answered.end();
  });
  rig.rig.world.run_for(std::chrono::seconds(1));
  CHECK_FALSE(two.has_value());
  const auto shown = must(rig.rig.run(rig.group->read(volume, 0, 8192, std::nullopt)));
  CHECK(std::ranges::equal(shown.bytes().first(4096), blocks_of(1)));
  CHECK(std::ranges::equal(shown.bytes().subspan(4096), blocks_of(0)));
  rig.leg->release();
  rig.run_until([&] { return scope.size() == 0; });
  must(*one);
  must(*two);
}

TEST_CASE("a sequence whose operation fails after it was taken is filled with void") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  must(rig.rig.run(rig.write(volume, 0, blocks_of(1))));
  const auto before = rig.group->commit();
  for (const auto blocks : {std::size_t{1}, std::size_t{100}}) {  // sealed at once, and by a helper
    const auto content = blocks_of(2, blocks);
    auto damaged = GroupRig::ingest_of(content);
    damaged.back() ^= 1;
    CHECK(rig.rig.run(rig.group->write(volume, 0, Buffer::copy_of(content), damaged, {})).code() ==
          Code::kCorrupt);
  }
  CHECK(rig.leg->seen.back() == std::pair(Sequence(before.value + 2), OperationType::kVoid));
  CHECK(rig.group->commit() == Sequence(before.value + 2));
  must(rig.rig.run(rig.write(volume, 4096, blocks_of(3))));
  const auto shown = must(rig.rig.run(rig.group->read(volume, 0, 8192, std::nullopt)));
  CHECK(std::ranges::equal(shown.bytes().first(4096), blocks_of(1)));
  check_in_order(*rig.leg);
}

TEST_CASE("when a leg fails, what is in flight has an unknown outcome and nothing more is taken") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  must(rig.rig.run(rig.write(volume, 0, blocks_of(1))));
  const auto before = rig.group->commit();
  rig.leg->fails = true;
  CHECK(rig.rig.run(rig.write(volume, 0, blocks_of(2))).code() == Code::kOutcomeUnknown);
  CHECK(rig.rig.run(rig.write(volume, 0, blocks_of(3))).code() == Code::kUnavailable);
  CHECK(rig.rig.run(rig.group->read(volume, 0, 4096, std::nullopt)).code() == Code::kUnavailable);
  CHECK(rig.group->commit() == before);
}

TEST_CASE("a group whose nodes do not all know a type of operation does not log it") {
  GroupRig rig([](index::Index& index) {
    const auto record = group_record(0);
    must(index.apply({&record, 1}, {}, std::nullopt));
  });
  CHECK(rig.begin().code() == Code::kUnsupported);
  CHECK(rig.leg->seen.empty());
}

TEST_CASE("a group of a newer feature level is refused, not served by guess") {
  GroupRig rig([](index::Index& index) {
    const auto record = group_record(format::kFeatureLevel + 1);
    must(index.apply({&record, 1}, {}, std::nullopt));
  });
  CHECK(rig.group->restore().code() == Code::kUnsupported);
}

TEST_CASE("a snapshot is made and dropped though the pool is too full for the index to go on") {
  GroupRig rig;
  must(rig.begin());
  const auto volume = create(rig);
  const Error full{Code::kNoSpace, "full"};
  must(rig.rig.run(rig.write(volume, 0, blocks_of(1, 1))));  // nothing places it
  rig.core->no_room = full;
  CHECK(rig.rig.run(rig.group->create_snapshot({volume}, "s")).code() == Code::kNoSpace);
  rig.core->no_room.reset();
  std::optional<Result<store::SnapshotView>> outcome;
  env::Scope scope(rig.rig.process.loop());
  scope.spawn(keep_view(rig.group->create_snapshot({volume}, "s"), &outcome));
  const auto before = rig.leg->answered.size();
  rig.run_until([&] { return rig.leg->answered.size() == before + 2; });
  rig.core->no_room = full;
  rig.core->progress.pulse();
  rig.run_until([&] { return scope.size() == 0; });
  const auto made = must(*outcome);
  CHECK(must(rig.group->list_snapshots()).empty());
  CHECK(rig.rig.run(rig.group->drop_snapshot(made.snapshot.sequence)).code() == Code::kNoSpace);
  rig.core->no_room.reset();
  must(rig.rig.run(rig.group->destage_once()));
  const auto listed = must(rig.group->list_snapshots());
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].id == made.id);
  CHECK(listed[0].name == "s");
  CHECK(listed[0].snapshot == made.snapshot);
  CHECK(listed[0].volumes == made.volumes);
  CHECK(listed[0].wall_ns == made.wall_ns);

  rig.core->no_room = full;
  must(rig.rig.run(rig.write(volume, 0, blocks_of(1, 2))));
  must(rig.rig.run(rig.group->drop_snapshot(made.snapshot.sequence)));
  rig.core->no_room.reset();
  must(rig.rig.run(rig.group->destage_once()));
  CHECK(must(rig.group->list_snapshots()).empty());
}
