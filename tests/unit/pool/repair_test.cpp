#include "codec/checksum.hpp"
#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

namespace {

void fill(Cluster& t, int stripes = 30) {
  for (int i = 0; i < stripes; ++i)
    REQUIRE(t.store({static_cast<std::size_t>(1000 + i * 3000), 9'000, 70'000}).ok());
}

// Reconciles until nothing is left to do.
void heal(Cluster& t) {
  for (int round = 0; round < 20; ++round) {
    const auto what = t.node.run(t.pool->reconcile());
    REQUIRE(what.ok());
    t.world.run_for(std::chrono::seconds(5));
    if (what->empty() && !t.pool->status().rebuild.active) return;
  }
  FAIL("the pool does not heal");
}

void lose(Cluster& t, std::size_t i) {
  t.vanish(i);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
}

// Every pair of members but those given is lost: everything still reads back.
void check_redundancy(Cluster& t) {
  const auto members = t.pool->live_slots().size();
  REQUIRE(members == std::size_t{t.shape.k} + t.shape.m);
  for (const auto& stripe : t.catalog.stripes) {
    const auto offset = chunk_offset(t.pool->geometry(), stripe.segment) +
                        std::uint64_t{stripe.stripe_block} * kBlockBytes;
    for (std::size_t i = 0; i < stripe.slots.size(); ++i) {
      const auto path = t.pool->disks()[stripe.slots[i].value].path;
      const auto strip =
          t.node.disks().at(path).peek(offset, std::uint64_t{stripe.strip_blocks} * kBlockBytes);
      REQUIRE(codec::checksum64(strip) == stripe.checksums[i]);
    }
  }
}

}  // namespace

TEST_CASE("a spare takes the place of a lost member, and every strip is there again") {
  Cluster t(Shape{4, 2, 2});
  t.ready();
  fill(t);
  REQUIRE(t.checkpoint(1, {1, 2}).ok());
  int waited = 0;
  t.pool->before_rebuild([&]() -> Task<void> {
    ++waited;
    co_return;
  });
  lose(t, 1);
  CHECK(t.lost == std::vector{Slot(1)});
  fill(t, 5);
  heal(t);
  CHECK(waited == 1);
  CHECK(t.disk(1).state == DiskState::kFailed);
  CHECK(t.disk(6).state == DiskState::kMember);
  CHECK(t.disk(6).slot == Slot(1));
  CHECK(t.pool->status().rebuild.strips_written > 0);
  CHECK(t.pool->status().rebuild.stripes_lost == 0);
  CHECK(t.pool->status().corruptions_found == 0);
  check_redundancy(t);
  CHECK(t.unreadable() == 0);
  // The returned disk is told that it was replaced.
  t.vanish(1, false);
  t.reopen();
  CHECK(t.disk(1).state == DiskState::kForeign);
  CHECK(t.disk(1).why.find("replaced") != std::string::npos);
  CHECK(t.unreadable() == 0);
  t.vanish(0);
  t.vanish(5);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("two members lost at once are rebuilt in one pass, checkpoints too") {
  Cluster t(Shape{8, 2, 2});
  t.ready();
  fill(t);
  REQUIRE(t.checkpoint(1, {1, 2}).ok());
  t.vanish(2);
  t.vanish(9);
  heal(t);
  CHECK(t.pool->status().spares_free == 0);
  check_redundancy(t);
  t.vanish(0);
  t.vanish(1);
  CHECK(t.unreadable() == 0);
  t.crash();
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(t.checkpoint_reads(*loaded));
}

TEST_CASE("while a rebuild runs nothing is read from what is not there yet") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  fill(t);
  lose(t, 3);
  t.pool->set_repair_pace({1u << 20, 256u << 10});
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(t.disk(6).state == DiskState::kRebuilding);
  for (int i = 0; i < 10; ++i) {
    t.world.run_for(std::chrono::milliseconds(300));
    CHECK(t.unreadable() == 0);
  }
  const auto status = t.pool->status().rebuild;
  CHECK(status.active);
  CHECK(status.pace_bytes_per_s == 256u << 10);
  CHECK(status.total_bytes > 0);
  CHECK(t.pool->status().corruptions_found == 0);
  t.pool->set_repair_pace({});
  heal(t);
  check_redundancy(t);
}

TEST_CASE("stripes that the index lacks are rebuilt, and writes go on meanwhile") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  const auto item = noise(50'000, 3);
  const auto pending = t.write({item});
  REQUIRE(pending.ok());
  lose(t, pending->stripe.slots[0].value);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  REQUIRE(t.store({10'000}).ok());
  heal(t);
  t.catalog.stripes.push_back(pending->stripe);
  check_redundancy(t);
}

TEST_CASE("a crash at any point of a rebuild is followed by one that ends") {
  for (std::uint64_t call = 1;; call += 7) {
    Cluster t(Shape{2, 2, 1}, call);
    t.ready();
    fill(t, 6);
    REQUIRE(t.checkpoint(1, {1}).ok());
    lose(t, 1);
    t.node.disks().plan().arm({sim::DiskFault::kCrash, call});
    t.node.run_or_crash(t.pool->reconcile());
    if (t.node.running()) t.world.run_for(std::chrono::seconds(20));
    const bool crashed = !t.node.running();
    t.node.disks().plan().disarm();
    if (crashed) {
      t.pool.reset();
      t.node.restart();
      const auto loaded = t.reopen();
      REQUIRE(loaded);
      REQUIRE(t.checkpoint_reads(*loaded));
    }
    heal(t);
    REQUIRE(t.disk(4).state == DiskState::kMember);
    check_redundancy(t);
    REQUIRE(t.unreadable() == 0);
    if (!crashed) {
      CHECK(call > 40);
      break;
    }
  }
}

TEST_CASE("a member lost during a rebuild is ordinary") {
  for (std::uint64_t call = 1; call < 120; call += 9) {
    Cluster t(Shape{4, 2, 2}, call);
    t.ready();
    fill(t, 10);
    lose(t, 1);
    t.medium(4).plan().arm(
        {sim::DiskFault::kIoError, call / 4 + 1, sim::kWrite | sim::kFlush, true});
    REQUIRE(t.node.run(t.pool->reconcile()).ok());
    t.world.run_for(std::chrono::milliseconds(call));
    t.vanish(0);
    heal(t);
    REQUIRE(t.unreadable() == 0);
  }
}

TEST_CASE("rot met during a rebuild is read around and mended") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  REQUIRE(t.store({60'000}).ok());
  const auto stripe = t.catalog.stripes[0];
  const auto offset = chunk_offset(t.pool->geometry(), stripe.segment);
  t.medium(stripe.slots[1].value).spoil(offset, kBlockBytes, 1);
  t.vanish(stripe.slots[0].value);
  heal(t);
  CHECK(t.pool->status().corruptions_found == 1);
  CHECK(t.pool->status().corruptions_repaired == 1);
  check_redundancy(t);
}

TEST_CASE("a stripe that is lost is counted, and the rebuild ends all the same") {
  Cluster t(Shape{4, 1, 1});
  t.ready();
  REQUIRE(t.store({60'000}).ok());
  REQUIRE(t.store({60'000}).ok());
  const auto stripe = t.catalog.stripes[0];
  const auto offset = chunk_offset(t.pool->geometry(), stripe.segment);
  t.medium(stripe.slots[1].value).spoil(offset, kBlockBytes, 1);
  t.vanish(stripe.slots[0].value);
  heal(t);
  CHECK(t.pool->status().rebuild.stripes_lost == 1);
  CHECK(t.unreadable() == 1);
  CHECK(t.read(t.stored[0]).code() == Code::kDataLoss);
}

TEST_CASE("a rebuild whose catalog cannot be read does not end, and is taken up again") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  fill(t, 5);
  lose(t, 0);
  t.catalog.broken = true;
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  t.world.run_for(std::chrono::seconds(5));
  CHECK(t.disk(6).state == DiskState::kRebuilding);
  t.catalog.broken = false;
  heal(t);
  CHECK(t.disk(6).state == DiskState::kMember);
  check_redundancy(t);
}

TEST_CASE("an added disk becomes a spare and is used; labelled and small ones are refused") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  fill(t, 3);
  lose(t, 2);
  CHECK(t.node.run(t.pool->reconcile()).value().empty());
  t.node.disks().add("/dev/new", t.shape.disk_bytes);
  t.node.disks().add("/dev/small", t.shape.disk_bytes / 2);
  CHECK(t.node.run(t.pool->add_disk("/dev/small")).code() == Code::kInvalid);
  CHECK(t.node.run(t.pool->add_disk("/dev/none")).code() == Code::kNotFound);
  REQUIRE(t.node.run(t.pool->add_disk("/dev/new")).ok());
  t.paths.push_back("/dev/new");
  CHECK(t.disk(6).state == DiskState::kSpare);
  heal(t);
  CHECK(t.disk(6).state == DiskState::kMember);
  check_redundancy(t);
  t.reopen();
  CHECK(t.pool->status().members_live == 6);
  CHECK(t.node.run(t.pool->add_disk(t.paths[2])).ok() == false);
}

TEST_CASE("a path that names another file is a missing disk") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  fill(t, 3);
  t.node.disks().attach(t.paths[2], t.world.add_medium(t.shape.disk_bytes));
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(t.lost == std::vector{Slot(2)});
  t.world.run_for(std::chrono::seconds(5));
  CHECK(t.pool->status().members_live == 6);
}

TEST_CASE("a scrub finds rot, mends it, and finds nothing the second time") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  fill(t);
  REQUIRE(t.checkpoint(1, {1}).ok());
  for (const std::size_t n : {std::size_t{0}, std::size_t{7}, t.catalog.stripes.size() - 1}) {
    const auto& stripe = t.catalog.stripes[n];
    const auto offset = chunk_offset(t.pool->geometry(), stripe.segment) +
                        std::uint64_t{stripe.stripe_block} * kBlockBytes;
    t.medium(stripe.slots[n % 6].value).spoil(offset, kBlockBytes, n);
  }
  REQUIRE(t.pool->start_scrub().ok());
  CHECK(t.pool->status().scrub.active);  // before its task has run: who waits for its end waits
  CHECK(t.pool->start_scrub().code() == Code::kBusy);
  // It is over when what it found is mended, not when it has looked at all.
  do t.world.run_for(std::chrono::microseconds(10));
  while (t.pool->status().scrub.active);
  CHECK(t.pool->status().corruptions_found == 3);
  CHECK(t.pool->status().corruptions_repaired == 3);
  CHECK(t.pool->status().scrub.stripes > 30);
  CHECK_FALSE(t.pool->status().scrub.active);
  check_redundancy(t);
  REQUIRE(t.pool->start_scrub().ok());
  t.world.run_for(std::chrono::seconds(20));
  CHECK(t.pool->status().corruptions_found == 3);
}

TEST_CASE("a scrub ends with its result settled: what reads right again counts as repaired") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  fill(t);
  const auto& stripe = t.catalog.stripes[3];
  t.medium(stripe.slots[1].value).plan().arm({sim::DiskFault::kMisdirectedRead, 1, sim::kRead});
  REQUIRE(t.pool->start_scrub().ok());
  do t.world.run_for(std::chrono::microseconds(10));
  while (t.pool->status().scrub.active);
  CHECK(t.pool->status().corruptions_found == 1);
  CHECK(t.pool->status().corruptions_repaired == 1);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("stopping ends a rebuild in between, and the next start goes on") {
  Cluster t(Shape{4, 2, 1});
  t.ready();
  fill(t);
  lose(t, 3);
  t.pool->set_repair_pace({1u << 20, 128u << 10});
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  t.world.run_for(std::chrono::milliseconds(500));
  t.reopen();
  CHECK(t.disk(6).state == DiskState::kRebuilding);
  CHECK(t.unreadable() == 0);
  heal(t);
  check_redundancy(t);
}

TEST_CASE("stripes written with too little parity are told to be moved once members suffice") {
  Cluster t(Shape{2, 2, 1});
  t.ready();
  std::vector<format::StripeDescriptor> told;
  t.pool->on_damaged_stripe([&](const auto& stripe) { told.push_back(stripe); });
  t.vanish(0);
  t.vanish(1);
  CHECK(t.write({noise(100, 1)}).code() == Code::kIo);
  REQUIRE(t.store({10'000}).ok());
  CHECK(t.catalog.stripes[0].m == 1);
  REQUIRE(t.checkpoint(1, {1}).ok());
  heal(t);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(told == std::vector{t.catalog.stripes[0]});  // its segment was open, and is not any more
  REQUIRE(t.store({10'000}).ok());
  CHECK(t.catalog.stripes[1].m == 2);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(told == std::vector{t.catalog.stripes[0]});
  t.files_read = 0;
  REQUIRE(t.checkpoint(2, {1}).ok());
  CHECK(t.files_read == 1);  // written again, with all its parity
}

TEST_CASE("when more than m members vanish at once none is replaced, and they may come back") {
  Cluster t(Shape{4, 2, 2});
  t.ready();
  fill(t, 10);
  REQUIRE(t.checkpoint(1, {1}).ok());
  for (const std::size_t i : {0u, 2u, 4u}) t.vanish(i);
  CHECK_FALSE(t.node.run(t.pool->reconcile()).value().empty());
  t.world.run_for(std::chrono::seconds(5));
  CHECK_FALSE(t.node.run(t.pool->reconcile()).value().empty());
  CHECK(t.pool->status().spares_free == 2);
  CHECK(t.unreadable() > 0);
  CHECK(t.checkpoint(2, {2}).code() == Code::kUnavailable);
  t.crash();
  CHECK(t.open().code() == Code::kUnavailable);
  for (const std::size_t i : {0u, 2u, 4u}) t.vanish(i, false);
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(t.checkpoint_reads(*loaded));
  CHECK(t.pool->status().members_live == 6);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a rebuild that loses too many members calls nothing lost that may come back") {
  Cluster t(Shape{4, 2, 2});
  t.ready();
  fill(t, 20);
  t.pool->set_repair_pace({1u << 20, 512u << 10});
  lose(t, 0);
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  t.world.run_for(std::chrono::milliseconds(300));
  for (const std::size_t i : {1u, 2u}) lose(t, i);
  t.pool->set_repair_pace({});
  t.world.run_for(std::chrono::seconds(60));
  CHECK_FALSE(t.pool->status().rebuild.active);
  CHECK(t.pool->status().rebuild.stripes_lost == 0);
  CHECK(t.disk(6).state == DiskState::kRebuilding);
  t.crash();
  for (const std::size_t i : {1u, 2u}) t.vanish(i, false);
  t.reopen();
  CHECK(t.unreadable() == 0);
  heal(t);
  heal(t);
  check_redundancy(t);
}

// Prints what docs/performance.md may quote: a rebuild with idle clients, as a part of the rate of
// the one disk that it writes.
TEST_CASE("how fast a rebuild is in virtual time", "[.rate]") {
  Cluster t(Shape{8, 2, 1, 128u << 20});
  for (std::size_t i = 0; i < t.paths.size(); ++i) t.medium(i).set_timing({});
  t.ready();
  while (t.pool->status().segments_free > 20) REQUIRE(t.store({t.pool->stripe_bytes_max()}).ok());
  t.vanish(1);
  const auto began = t.world.now_ns();
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  const auto idle = [&] { return !t.pool->status().rebuild.active; };
  t.world.run_for(std::chrono::milliseconds(1));
  REQUIRE(t.world.run_until(idle));
  const auto seconds = static_cast<double>(t.world.now_ns() - began) / 1e9;
  const auto mib = static_cast<double>(t.pool->status().written_rebuild_bytes) / (1u << 20);
  WARN(mib << " MiB in " << seconds << " s: " << mib / seconds / 190.7 << " of 200 MB/s");
}
