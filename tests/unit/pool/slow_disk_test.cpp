// One disk is much slower than its peers; time is virtual.

#include <algorithm>
#include <functional>
#include <set>

#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using namespace std::chrono_literals;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::same;
using pool::test::Shape;

namespace {

constexpr std::uint32_t kSlower = 1000;

// With the times of real disks, and so much read that the usual times are known.
void warm(Cluster& t) {
  t.ready();
  auto timing = sim::DiskTiming{};
  timing.slow_factor = kSlower;
  t.node.disks().set_timing(timing);
  for (int i = 0; i < 10; ++i) REQUIRE(t.store(std::vector<std::size_t>(8, 30'000)).ok());
  for (int i = 0; i < 3; ++i) REQUIRE(t.unreadable() == 0);
  REQUIRE(t.pool->status().races == 0);
}

env::Duration longest_read(Cluster& t) {
  env::Duration longest{0};
  for (const auto& item : t.stored) {
    const auto began = t.node.env().loop.now();
    const auto bytes = t.read(item);
    REQUIRE(bytes.ok());
    REQUIRE(same(bytes->bytes(), item.bytes.bytes()));
    longest = std::max(longest, t.node.env().loop.now() - began);
  }
  return longest;
}

}  // namespace

TEST_CASE("a read that one slow disk holds is answered through parity, and the disk stays") {
  Cluster t;
  warm(t);
  t.medium(3).set_slow(true);
  CHECK(longest_read(t) < 20ms);  // it takes 50 ms and more by itself
  const auto status = t.pool->status();
  CHECK(status.races_won > 0);
  CHECK(status.corruptions_found == 0);
  CHECK(t.disk(3).state == DiskState::kMember);
  t.world.run_for(10s);
  CHECK(longest_read(t) < 20ms);
}

TEST_CASE("the memory and the segment of a read that lost its race stay until it has ended") {
  Cluster t;
  warm(t);
  t.medium(3).set_hung(true);
  CHECK(longest_read(t) < 20ms);
  REQUIRE(t.pool->status().races_won > 0);
  const auto in_flight = t.medium(3).in_flight();
  REQUIRE(in_flight > 0);
  std::set<SegmentId> segments;
  for (const auto& stripe : t.catalog.stripes) segments.insert(stripe.segment);
  const auto free_before = t.pool->status().segments_free;
  t.catalog.stripes.clear();
  for (const auto segment : segments) t.pool->release_segment(segment);
  REQUIRE(t.node.run(t.pool->fail_disk(Slot(3), "so that a checkpoint ends")).ok());
  REQUIRE(t.checkpoint(1, {}).ok());
  t.world.run_for(1s);
  CHECK(t.pool->status().segments_free < free_before + segments.size());
  t.medium(3).set_hung(false);
  t.world.run_for(60s);
  CHECK(t.medium(3).in_flight() == 0);
  CHECK(t.pool->status().segments_free >= free_before + segments.size() - 1);
}

TEST_CASE("a stop waits for the discard of a segment whose last reader ends during it") {
  Cluster t;
  warm(t);
  t.medium(3).set_hung(true);
  CHECK(longest_read(t) < 20ms);
  REQUIRE(t.medium(3).in_flight() > 0);
  std::set<SegmentId> segments;
  for (const auto& stripe : t.catalog.stripes) segments.insert(stripe.segment);
  t.catalog.stripes.clear();
  for (const auto segment : segments) t.pool->release_segment(segment);
  REQUIRE(t.node.run(t.pool->fail_disk(Slot(3), "so that a checkpoint ends")).ok());
  REQUIRE(t.checkpoint(1, {}).ok());
  const auto wake = [](Cluster& cluster) -> Task<void> {
    co_await env::sleep_for(cluster.node.env().loop, 1s);
    cluster.medium(3).set_hung(false);
  };
  const auto stop = [&wake](Cluster& cluster) -> Task<void> {
    env::Scope scope(cluster.node.env().loop);
    scope.spawn(wake(cluster));
    co_await cluster.pool->stop();
    co_await scope.join();
  };
  t.node.run(stop(t));
  t.pool.reset();  // breaks an invariant while anything is under way
  t.world.run_for(60s);
  CHECK(t.medium(3).in_flight() == 0);
}

namespace {

Task<void> read_into(Cluster* t, const pool::test::StoredItem* item,
                     std::vector<Result<Buffer>>* out) {
  const auto size = static_cast<std::uint32_t>(item->bytes.size());
  const Pool::Verify verify = [item](Bytes bytes) { return same(bytes, item->bytes.bytes()); };
  out->push_back(co_await t->pool->read_place(item->place, size, verify));
}

// Begins to read all that is stored in the first item's segment, and then the segment goes.
Task<void> read_what_goes(Cluster* t, std::vector<Result<Buffer>>* out) {
  const auto segment = t->stored.front().place.segment;
  env::Scope scope(t->node.env().loop);
  for (const auto& item : t->stored)
    if (item.place.segment == segment) scope.spawn(read_into(t, &item, out));
  co_await env::yield(t->node.env().loop);
  std::erase_if(t->catalog.stripes, [&](const auto& each) { return each.segment == segment; });
  t->pool->release_segment(segment);
  co_await scope.join();
}

}  // namespace

TEST_CASE("a read that a hung disk holds while its segment is released is told to look again") {
  Cluster t;
  warm(t);
  t.medium(3).set_hung(true);
  std::vector<Result<Buffer>> results;
  t.node.run(read_what_goes(&t, &results));
  CHECK(std::ranges::any_of(results, [](const auto& one) { return one.ok(); }));
  CHECK(std::ranges::any_of(results, [](const auto& one) { return !one.ok(); }));
  for (const auto& one : results) CHECK((one.ok() || one.failed_with(Code::kNotFound)));
  t.medium(3).set_hung(false);
}

namespace {

Task<void> read_all_at_once(Cluster* t, std::vector<Result<Buffer>>* out) {
  env::Scope scope(t->node.env().loop);
  for (const auto& item : t->stored) scope.spawn(read_into(t, &item, out));
  co_await scope.join();
}

}  // namespace

TEST_CASE("reads of one stripe at the same time are right with disks gone, rotten, hung or late") {
  const auto trouble = GENERATE(0, 1, 2, 3, 4);
  Cluster t;
  warm(t);
  for (int i = 0; i < 4; ++i) REQUIRE(t.store(std::vector<std::size_t>(8, 60'000)).ok());
  t.vanish(0);
  if (trouble == 1) t.vanish(2);
  if (trouble == 2) t.medium(2).set_hung(true);
  if (trouble == 3) t.medium(2).set_slow(true);
  if (trouble == 4) t.medium(2).rot(7, 4000);
  for (int round = 0; round < 3; ++round) {
    INFO("trouble " << trouble << ", round " << round);
    std::vector<Result<Buffer>> results;
    t.node.run(read_all_at_once(&t, &results));
    REQUIRE(results.size() == t.stored.size());
    for (const auto& one : results) CHECK(one.ok());  // and verified
  }
  t.medium(2).set_hung(false);
}

TEST_CASE("a race that cannot be won waits for the slow disk") {
  Cluster t(Shape{4, 1, 0});
  warm(t);
  t.vanish(1);
  REQUIRE(t.unreadable() == 0);
  t.medium(3).set_slow(true);
  CHECK(longest_read(t) > 40ms);
  CHECK(t.pool->status().corruptions_found == 0);
}

namespace {

// As large as what warm() writes.
const std::vector<std::size_t> kItems(8, 30'000);

env::Duration time_of(Cluster& t, const std::function<void()>& work) {
  const auto began = t.node.env().loop.now();
  work();
  return t.node.env().loop.now() - began;
}

}  // namespace

TEST_CASE("a stripe does not wait for one slow disk, and the next ones do without it") {
  Cluster t;
  warm(t);
  t.medium(3).set_slow(true);
  Result<> first;
  CHECK(time_of(t, [&] { first = t.store(kItems); }) < 80ms);
  CHECK(first.code() == Code::kIo);  // its payload goes to the journal
  CHECK(t.disk(3).aside);
  CHECK(t.disk(3).state == DiskState::kMember);
  CHECK(t.lost == std::vector<Slot>{Slot(3)});
  CHECK_FALSE(std::ranges::count(t.pool->live_slots(), Slot(3)));
  const auto stripes_before = t.catalog.stripes.size();
  for (int i = 0; i < 20; ++i) CHECK(time_of(t, [&] { REQUIRE(t.store(kItems).ok()); }) < 20ms);
  for (std::size_t i = stripes_before; i < t.catalog.stripes.size(); ++i) {
    const auto& stripe = t.catalog.stripes[i];
    CHECK(stripe.m == 2);
    CHECK(std::ranges::find(stripe.slots, Slot(3)) == stripe.slots.end());
  }
  t.medium(3).set_slow(false);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a journal copy and its flush do not wait for one slow disk") {
  Cluster t;
  warm(t);
  const auto copy = [&](Slot slot, std::uint64_t offset) {
    BufferChain chain{noise(4096, offset)};
    auto written = t.node.run(t.pool->write(slot, offset, std::move(chain)));
    return written.ok() ? t.node.run(t.pool->flush(slot)) : std::move(written);
  };
  for (std::uint16_t slot = 0; slot < 10; ++slot)
    for (int i = 0; i < 10; ++i) REQUIRE(copy(Slot(slot), 0).ok());
  t.medium(7).set_slow(true);
  Result<> late;
  CHECK(time_of(t, [&] { late = copy(Slot(7), 8192); }) < 80ms);
  CHECK(late.code() == Code::kIo);
  CHECK(t.lost == std::vector<Slot>{Slot(7)});
  CHECK(time_of(t, [&] { late = copy(Slot(7), 12288); }) < 1ms);  // nothing is begun
  CHECK(late.code() == Code::kIo);
}

TEST_CASE("a member that was set aside takes writes again when its late ones have ended") {
  Cluster t;
  warm(t);
  std::vector<Slot> joined;
  t.pool->on_slot_joined([&](Slot slot) { joined.push_back(slot); });
  t.medium(3).set_hung(true);
  CHECK(t.store(kItems).code() == Code::kIo);
  for (int i = 0; i < 5; ++i) {
    t.world.run_for(2s);
    REQUIRE(t.node.run(t.pool->reconcile()).ok());
  }
  CHECK(joined.empty());  // its write is still in the device
  t.medium(3).set_hung(false);
  t.world.run_for(2s);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(joined == std::vector<Slot>{Slot(3)});
  CHECK_FALSE(t.disk(3).aside);
  REQUIRE(t.store(kItems).ok());
  CHECK(t.unreadable() == 0);
}

TEST_CASE("when all disks are slow, none is set aside beyond m, and stripes are written") {
  Cluster t;
  warm(t);
  for (std::size_t i = 0; i < 10; ++i) t.medium(i).set_slow(true);
  bool written = false;
  for (int i = 0; i < 4 && !written; ++i) written = t.store(kItems).ok();
  CHECK(written);
  CHECK(t.pool->live_slots().size() >= 8);
  CHECK(t.pool->status().members_live == 10);
}

TEST_CASE("a late strip lands before its segment is used again") {
  Cluster t;
  warm(t);
  t.medium(3).set_hung(true);
  const auto stripe_count = t.catalog.stripes.size();
  CHECK(t.store(kItems).code() == Code::kIo);
  REQUIRE(t.catalog.stripes.size() == stripe_count);
  const auto segment = t.catalog.stripes.back().segment;  // the late strip lies behind it
  t.catalog.forget(segment);
  std::erase_if(t.stored, [&](const auto& item) { return item.place.segment == segment; });
  const auto free_before = t.pool->status().segments_free;
  t.pool->release_segment(segment);
  t.node.disks().set_strict_overlap(true);
  t.world.run_for(1s);
  CHECK(t.pool->status().segments_free == free_before);
  t.medium(3).set_hung(false);
  t.world.run_for(1s);
  REQUIRE(t.checkpoint(1, {}).ok());
  t.world.run_for(1s);
  CHECK(t.pool->status().segments_free >= free_before);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a disk that has been slow for long is retired by itself when a spare is free") {
  Cluster t(Shape{4, 2, 1});
  warm(t);
  t.medium(3).set_slow(true);
  const auto round = [&] {
    ignore(t.store({30'000}), "one that waits for the slow disk is none");
    REQUIRE(t.node.run(t.pool->reconcile()).ok());
    t.world.run_for(1s);
  };
  for (int second = 0; second < 9 * 60; ++second) round();
  CHECK(t.disk(3).slow);
  CHECK_FALSE(t.pool->status().retirement.pass.active);
  for (int second = 0; second < 10 * 60 && !t.pool->status().retirement.done; ++second) round();
  CHECK(t.pool->status().retirement.done);
  CHECK(t.disk(6).slot == Slot(3));
  CHECK(t.disk(6).state == DiskState::kMember);
  CHECK(t.unreadable() == 0);
  CHECK(t.lost.empty() == false);  // while it was set aside
}
