// The lane in health, and with what its users must be able to rely on. Crashes are next door.
#include <catch2/catch.hpp>

#include "format/journal_batch.hpp"
#include "unit/journal/lane_rig.hpp"

using namespace square;
using namespace square::journal;

namespace {

constexpr std::uint64_t kMiB = 1u << 20;

void start(Rig& rig) {
  REQUIRE(rig.recover());
  REQUIRE(rig.problem == "");
}

void restart(Rig& rig) {
  REQUIRE(rig.stop());
  start(rig);
}

// How many media hold the batch at `position` whole.
std::size_t good_copies(Rig& rig, LanePosition position) {
  std::size_t good = 0;
  for (auto* medium : rig.media) {
    const auto offset = rig.config.ring_offset + position.value % rig.config.ring_bytes;
    const auto batch =
        format::decode_journal_batch(Buffer::copy_of(medium->peek(offset, 256u << 10)));
    good += batch.ok() && batch->header.position == position ? 1 : 0;
  }
  return good;
}

Task<void> whole(Lane& lane) { co_await lane.wait_copies_whole(); }

}  // namespace

TEST_CASE("a new lane is empty and goes on at zero") {
  Rig rig({});
  start(rig);
  CHECK(rig.recovered.records.empty());
  CHECK(rig.recovered.end == LanePoint{});
  CHECK(rig.recovered.points.size() == 1);
  CHECK(rig.recovered.highest_epoch == Epoch{});
  CHECK(rig.lane->copies_whole());
}

TEST_CASE("what was acknowledged is there after a restart, with its batch's place and epoch") {
  const auto copies = GENERATE(2, 3, 4);
  const auto disks = GENERATE(4, 7, 12);
  Rig rig({.disks = static_cast<std::size_t>(disks), .copies = static_cast<std::uint8_t>(copies)});
  start(rig);
  for (const std::uint64_t size : {8u, 100u, 4096u, 20000u, 28672u}) rig.append(size);
  REQUIRE(rig.settle());
  rig.append(9);
  REQUIRE(rig.settle());
  const auto end = rig.lane->durable_point();
  restart(rig);
  REQUIRE(rig.recovered.records.size() == 6);
  CHECK(rig.recovered.end == end);
  CHECK(rig.recovered.points.front() == LanePoint{});
  CHECK(rig.recovered.points.back() == end);
  CHECK(rig.recovered.highest_epoch.number == 1);
  CHECK(rig.recovered.records[0].position == LanePosition(0));
  CHECK(rig.recovered.records[1].index == rig.recovered.records[0].index + 1);
  for (const auto& point : rig.recovered.points)
    if (point != end) CHECK(good_copies(rig, point.position) == static_cast<std::size_t>(copies));
}

TEST_CASE("appends of one turn share a batch, and what comes while batches fly shares the next") {
  Rig rig({.ring_bytes = kMiB, .batches_in_flight_max = 2});
  start(rig);
  rig.append(10);
  REQUIRE(rig.settle());
  CHECK(rig.lane->stats().batches == 1);
  for (int i = 0; i < 50; ++i) rig.append(10);
  REQUIRE(rig.settle());
  CHECK(rig.lane->stats().batches == 2);
  CHECK(rig.lane->stats().records == 51);
  CHECK(rig.lane->stats().record_bytes == 510);
  CHECK(rig.lane->stats().written_bytes == 2 * 3 * 4096);
}

TEST_CASE("copies lie on different disks from lap to lap") {
  Rig rig({.disks = 6, .ring_bytes = 64u << 10});
  start(rig);
  for (int i = 0; i < 200; ++i) {
    rig.append(3000);
    REQUIRE(rig.settle());
    rig.forget_up_to(rig.log.size() - 1);
  }
  for (auto* medium : rig.media) {
    const auto area = medium->peek(rig.config.ring_offset, rig.config.ring_bytes);
    CHECK(std::any_of(area.begin(), area.end(), [](std::byte b) { return b != std::byte{0}; }));
  }
}

TEST_CASE("the ring goes round for many laps, with records of every size") {
  Rig rig({.ring_bytes = 128u << 10});
  start(rig);
  for (int i = 0; i < 600; ++i) {
    rig.append(rig.world.rng().between(8, 28672));
    if (i % 3 != 0) continue;
    REQUIRE(rig.settle_forgetting());
    if (i % 99 == 0) restart(rig);
  }
  CHECK(rig.lane->next().value > 20 * rig.config.ring_bytes);
  restart(rig);
}

TEST_CASE("an append waits for room and never fails; a flushed tail lets it go on") {
  Rig rig({.ring_bytes = 128u << 10});
  start(rig);
  for (int i = 0; i < 30; ++i) rig.append(8000);
  rig.world.run_for(std::chrono::seconds(10));
  REQUIRE(rig.running());
  const auto stuck = rig.acked;
  CHECK(stuck < 30);
  CHECK(stuck > 3);
  CHECK(rig.lane->used_bytes() < rig.config.ring_bytes * 3 / 4);
  SECTION("told by a batch of the lane itself") { rig.forget_up_to(stuck - 1); }
  SECTION("told by a checkpoint") {
    rig.forget_up_to(stuck - 1);
    rig.checkpoint();
  }
  rig.world.run_for(std::chrono::seconds(10));
  CHECK(rig.acked > stuck);
  while (rig.acked < rig.log.size()) {
    const auto before = rig.acked;
    rig.forget_up_to(rig.durable - 1);
    rig.world.run_for(std::chrono::seconds(10));
    REQUIRE(rig.acked > before);
  }
  CHECK(rig.problem == "");
}

TEST_CASE("room that was promised is there, however others fill the ring") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n");
  for (int i = 0; i < 3; ++i) node.disks().add("/disk" + std::to_string(i), kMiB);
  RigDisks disks(node, 3);
  REQUIRE(disks.open());
  LaneConfig config;
  config.ring_bytes = 128u << 10;
  Lane lane(node.env(), disks, config);
  REQUIRE(node.run(lane.recover({})).ok());
  REQUIRE(node.run(lane.restore_copies()).ok());
  lane.start({1, 1}, [](const DurableRecord&) {});
  env::Scope clients(node.loop());
  int done = 0, failed = 0;
  const auto append = [&](std::uint64_t size, Reserve reserve) {
    clients.spawn([](Async<LanePosition> appended, int& good, int& bad) -> Task<void> {
      ++((co_await appended).ok() ? good : bad);
    }(lane.append({Buffer::zeroed(size)}, reserve), done, failed));
  };
  // Where the ring's end is met differs: before, between and behind what is promised.
  for (const int first : {0, 5, 9, 14}) {
    INFO(first);
    for (int i = 0; i < first; ++i) append(4000, Reserve::kOrdinary);
    // What the last turn left may be in their way: the ring is empty when they are through.
    for (int turn = 0; turn < 2; ++turn) {
      world.run_for(std::chrono::seconds(1));
      lane.tail_is_in_checkpoint(lane.durable());
    }
    std::vector<Lane::Room> rooms;
    for (const std::uint64_t size : {20000, 12000}) {
      auto room = node.run(lane.reserve(size));
      REQUIRE(room.ok());
      rooms.push_back(std::move(*room));
    }
    for (const auto reserve :
         {Reserve::kOrdinary, Reserve::kPlacement, Reserve::kTail, Reserve::kTermMark})
      for (int i = 0; i < 40; ++i) append(i % 2 == 0 ? 9000 : 100, reserve);
    world.run_for(std::chrono::seconds(1));
    CHECK(lane.waits_for_room());
    CHECK(node.run(lane.append({Buffer::zeroed(20000)}, std::move(rooms[0]))).ok());
    CHECK(node.run(lane.append({Buffer::zeroed(12000)}, std::move(rooms[1]))).ok());
    while (lane.waits_for_room()) {
      lane.tail_is_in_checkpoint(lane.durable());
      world.run_for(std::chrono::seconds(1));
    }
  }
  CHECK(failed == 0);
  lane.tail_is_in_checkpoint(lane.durable());
  {
    const auto unused = node.run(lane.reserve(20000));
    CHECK(unused.ok());
  }
  node.run(lane.stop());
  world.run_for(std::chrono::seconds(1));
  CHECK(clients.size() == 0);
}

TEST_CASE("placements, tails and term marks have room when ordinary appends have none") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n");
  for (int i = 0; i < 3; ++i) node.disks().add("/disk" + std::to_string(i), kMiB);
  RigDisks disks(node, 3);
  REQUIRE(disks.open());
  LaneConfig config;
  config.ring_bytes = 128u << 10;
  Lane lane(node.env(), disks, config);
  REQUIRE(node.run(lane.recover({})).ok());
  REQUIRE(node.run(lane.restore_copies()).ok());
  std::vector<std::uint64_t> order;
  lane.start({1, 1}, [&](const DurableRecord& record) { order.push_back(record.bytes.size()); });
  env::Scope clients(node.loop());
  int failed = 0;
  const auto append = [&](std::uint64_t size, Reserve reserve) {
    clients.spawn([](Async<LanePosition> done, int& count) -> Task<void> {
      count += (co_await done).ok() ? 0 : 1;
    }(lane.append({Buffer::zeroed(size)}, reserve), failed));
    world.run_for(std::chrono::seconds(1));
  };
  while (order.size() == lane.stats().records && order.size() < 100 &&
         (order.empty() || order.back() == 4000)) {
    const auto before = order.size();
    append(4000, Reserve::kOrdinary);
    if (order.size() == before) break;
  }
  const auto ordinary = order.size();
  CHECK(ordinary >= 8);
  append(20000, Reserve::kPlacement);
  CHECK(order.size() == ordinary + 1);
  CHECK(order.back() == 20000);
  while (order.back() != 0 && lane.ring_bytes() - lane.used_bytes() > 20480) {
    const auto before = order.size();
    append(100, Reserve::kPlacement);
    if (order.size() == before) break;
  }
  const auto placed = order.size();
  append(101, Reserve::kTail);
  CHECK(order.size() == placed + 1);
  append(102, Reserve::kTermMark);
  CHECK(order.size() == placed + 2);
  int marks = 1;
  for (;;) {
    const auto before = order.size();
    append(102, Reserve::kTermMark);
    if (order.size() == before) break;
    ++marks;
  }
  CHECK(marks >= 2);
  CHECK(lane.used_bytes() == lane.ring_bytes());
  node.run(lane.stop());
  node.run([](env::Scope& scope) -> Task<void> { co_await scope.join(); }(clients));
  CHECK(failed > 0);
}

TEST_CASE("an append of the wrong size or at the wrong time is refused") {
  Rig rig({});
  start(rig);
  const auto max = rig.lane->record_bytes_max();
  CHECK(max == 28672);
  CHECK(rig.node.run(rig.lane->append({Buffer::zeroed(max + 1)})).code() == Code::kInvalid);
  rig.append(max);
  REQUIRE(rig.settle());
  rig.node.run(rig.lane->stop());
  CHECK(rig.node.run(rig.lane->append({Buffer::zeroed(8)})).code() == Code::kUnavailable);
}

TEST_CASE("stop ends what waits for room, and waits for what flies") {
  Rig rig({.ring_bytes = 64u << 10});
  start(rig);
  for (int i = 0; i < 30; ++i) rig.append(8000);
  REQUIRE(rig.stop());
  CHECK(rig.failed_appends + rig.acked == 30);
  CHECK(rig.failed_appends > 0);
  start(rig);
}

TEST_CASE("a failed disk is replaced for batches in flight and for those before") {
  const auto copies = GENERATE(2, 3, 4);
  Rig rig({.disks = 6, .copies = static_cast<std::uint8_t>(copies), .ring_bytes = 256u << 10});
  start(rig);
  for (int i = 0; i < 5; ++i) {
    rig.append(5000);
    REQUIRE(rig.settle());
  }
  for (int lost = 0; lost < copies - 1; ++lost) {
    rig.media[static_cast<std::size_t>(lost)]->set_vanished(true);
    for (int i = 0; i < 4; ++i) rig.append(5000);
    REQUIRE(rig.settle());
  }
  // Nobody noticed by writing to it: announced by the pool.
  rig.node.run(whole(*rig.lane));
  CHECK(rig.lane->copies_whole());
  rig.crash(sim::CrashKind::kPowerLoss);
  for (auto* medium : rig.media)
    if (medium->vanished()) medium->spoil(0, medium->size_bytes(), 1);
  start(rig);
  CHECK(rig.acked == rig.log.size());
}

TEST_CASE("with fewer disks than copies every live one gets a copy, and a new one is filled") {
  Rig rig({.disks = 4, .copies = 3});
  for (std::size_t i = 1; i < 4; ++i) rig.media[i]->set_vanished(true);
  start(rig);
  rig.append(5000);
  REQUIRE(rig.settle());
  CHECK(rig.lane->copies_whole());
  CHECK(good_copies(rig, LanePosition(0)) == 1);
  for (std::size_t i = 1; i < 4; ++i) {
    rig.media[i]->set_vanished(false);
    REQUIRE(rig.disks->open_slot(i));
    rig.lane->slot_joined(Slot(static_cast<std::uint16_t>(i)));
  }
  CHECK_FALSE(rig.lane->copies_whole());
  rig.node.run(whole(*rig.lane));
  CHECK(rig.lane->copies_whole());
  CHECK(good_copies(rig, LanePosition(0)) == 3);
  CHECK(rig.lane->stats().recopied_bytes == 2 * 8192);
}

TEST_CASE("without any disk nothing is acknowledged any more") {
  Rig rig({});
  start(rig);
  rig.append(100);
  REQUIRE(rig.settle());
  for (auto* medium : rig.media) medium->set_vanished(true);
  rig.append(100);
  rig.append(100);
  CHECK_FALSE(rig.settle());
  CHECK(rig.lane->halted());
  CHECK(rig.acked == 1);
  CHECK(rig.node.run(rig.lane->append({Buffer::zeroed(8)})).code() == Code::kUnavailable);
  REQUIRE(rig.stop());
  CHECK(rig.failed_appends == 2);
  const auto found = rig.recover_only();
  REQUIRE(found.has_value());
  CHECK(found->code() == Code::kIo);
}

TEST_CASE("a live record without any good copy is data loss, and said so") {
  Rig rig({.ring_bytes = 256u << 10});
  start(rig);
  for (int i = 0; i < 6; ++i) {
    rig.append(5000);
    REQUIRE(rig.settle());
  }
  const auto at = rig.log[2].end.value;  // the fourth one starts here
  REQUIRE(rig.stop());
  const auto part = GENERATE(0, 4096);  // header or body
  for (auto* medium : rig.media)
    medium->spoil(rig.config.ring_offset + at + static_cast<std::uint64_t>(part), 4096, 5);
  const auto found = rig.recover_only();
  REQUIRE(found.has_value());
  REQUIRE_FALSE(found->ok());
  CHECK(found->code() == Code::kDataLoss);
  CHECK_THAT(found->error().message, Catch::Contains(std::to_string(at)));
}

TEST_CASE("one good copy of each record is enough, whichever disk it is on") {
  Rig rig({.ring_bytes = 256u << 10});
  start(rig);
  for (int i = 0; i < 6; ++i) {
    rig.append(5000);
    REQUIRE(rig.settle());
  }
  REQUIRE(rig.stop());
  for (std::size_t batch = 0; batch < 6; ++batch) {
    std::vector<sim::SimMedium*> holders;
    for (auto* medium : rig.media) {
      const auto bytes = medium->peek(rig.config.ring_offset + batch * 8192, 8192);
      if (format::decode_journal_batch(Buffer::copy_of(bytes)).ok()) holders.push_back(medium);
    }
    REQUIRE(holders.size() == 3);
    for (std::size_t i = 0; i < 3; ++i)
      if (i != batch % 3)
        holders[i]->spoil(rig.config.ring_offset + batch * 8192 + (i == 1 ? 4096 : 0), 4096, 5);
  }
  start(rig);
  CHECK(rig.acked == 6);
  for (std::size_t batch = 0; batch < 6; ++batch)
    CHECK(good_copies(rig, LanePosition(batch * 8192)) == 3);
}

TEST_CASE("a bad sector costs no copy but the one that it lies in") {
  Rig rig({.ring_bytes = 256u << 10});
  start(rig);
  for (int i = 0; i < 6; ++i) {
    rig.append(5000);
    REQUIRE(rig.settle());
  }
  REQUIRE(rig.stop());
  SECTION("in a part of the ring that nobody needs, on every disk") {
    for (auto* medium : rig.media)
      medium->make_unreadable(rig.config.ring_offset + (128u << 10), 4096);
  }
  SECTION("in the body of another batch on every disk") {
    for (std::size_t disk = 0; disk < rig.media.size(); ++disk)
      rig.media[disk]->make_unreadable(rig.config.ring_offset + disk * 8192 + 4096, 4096);
  }
  start(rig);
  CHECK(rig.acked == 6);
  for (std::size_t batch = 0; batch < 6; ++batch)
    CHECK(good_copies(rig, LanePosition(batch * 8192)) == 3);
  rig.append(5000);
  REQUIRE(rig.settle());
}

TEST_CASE("a journal of another pool or lane is never taken") {
  Rig rig({});
  start(rig);
  rig.append(100);
  REQUIRE(rig.settle());
  REQUIRE(rig.stop());
  SECTION("pool") { rig.config.pool.uuid.bytes[3] ^= 1; }
  SECTION("lane") { rig.config.lane = 4; }
  const auto found = rig.recover_only();
  REQUIRE(found.has_value());
  REQUIRE(found->ok());
  CHECK((*found)->records.empty());
  CHECK((*found)->highest_epoch == Epoch{});
}

TEST_CASE("a disk that slept through an epoch does not bring its branch back") {
  Rig rig({.disks = 5, .copies = 3, .ring_bytes = 256u << 10});
  start(rig);
  for (int i = 0; i < 3; ++i) rig.append(5000);
  REQUIRE(rig.settle());
  // Four batches in flight, which in the end stand on one disk alone.
  auto* const sleeper = rig.media[0];
  const auto branch_start = rig.log[2].end;
  for (int i = 0; i < 12; ++i) rig.append(9000);
  REQUIRE(rig.settle());
  const auto image = sleeper->snapshot();
  const auto branch_end = rig.lane->next();
  rig.crash(sim::CrashKind::kPowerLoss);
  for (std::size_t i = 1; i < 5; ++i)
    rig.media[i]->spoil(rig.config.ring_offset + branch_start.value, 128u << 10, i);
  rig.acked = rig.durable = 3;  // as if they had been neither acknowledged nor reported
  sleeper->set_vanished(true);
  start(rig);
  REQUIRE(rig.log.size() == 3);
  for (int i = 0; i < 2; ++i) {
    rig.append(6000);
    REQUIRE(rig.settle());
  }
  REQUIRE(rig.lane->next() < branch_end);
  rig.crash(sim::CrashKind::kPowerLoss);
  sleeper->set_vanished(false);
  sleeper->roll_back(image);
  start(rig);
  CHECK(rig.recovered.records.size() == 5);
  CHECK(rig.recovered.highest_epoch.number == 2);
  // And again, with the stale batches beyond the end still there, and partly written over.
  for (int i = 0; i < 2; ++i) {
    rig.append(6000);
    REQUIRE(rig.settle());
    rig.crash(sim::CrashKind::kPowerLoss);
    start(rig);
  }
  CHECK(rig.acked == 7);
}
