#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <set>

#include "sim/env/sim_process.hpp"

using namespace square;
using sim::CrashKind;
using sim::DiskFault;
using sim::SimProcess;
using sim::SimWorld;

namespace {

Buffer filled(std::size_t size, int value) {
  auto buffer = Buffer::allocate(size);
  std::memset(buffer.data(), value, size);
  return buffer;
}

Async<> store(env::Disk& disk, std::uint64_t offset, Buffer bytes) {
  BufferChain chain{std::move(bytes)};
  return disk.write(offset, std::move(chain));
}

struct OneDisk {
  explicit OneDisk(std::uint64_t seed = 1) : world(seed), node(world.add_process("n1")) {
    medium = &node.disks().add("/dev/a", 16u << 20);
    reopen();
  }
  void reopen() { disk = node.run(node.disks().open("/dev/a", {})).value(); }
  Result<> write(std::uint64_t block, int value, std::size_t blocks = 1) {
    return node.run(store(*disk, block * kBlockBytes, filled(blocks * kBlockBytes, value)));
  }
  Result<int> read(std::uint64_t block) {
    auto into = filled(kBlockBytes, 0xEE);
    auto result = node.run(disk->read(block * kBlockBytes, into));
    if (!result.ok()) return std::move(result).error();
    return std::to_integer<int>(into.bytes()[0]);
  }
  Result<> flush() { return node.run(disk->flush()); }
  void crash(CrashKind kind) {
    node.crash(kind);
    disk.reset();
    node.restart();
    reopen();
  }
  SimWorld world;
  SimProcess& node;
  sim::SimMedium* medium;
  std::unique_ptr<env::Disk> disk;
};

}  // namespace

TEST_CASE("a simulated disk reads what was written, and zeros before") {
  OneDisk t;
  CHECK(*t.read(3) == 0);
  REQUIRE(t.write(3, 7).ok());
  CHECK(*t.read(3) == 7);
  CHECK(t.disk->stats().writes == 1);
  CHECK(t.disk->stats().written_bytes == kBlockBytes);
}

TEST_CASE("a flushed write survives power loss, an unflushed one may be kept, lost or torn") {
  int kept = 0, lost = 0, torn = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    OneDisk t(seed);
    REQUIRE(t.write(1, 1).ok());
    REQUIRE(t.flush().ok());
    REQUIRE(t.write(1, 2).ok());
    REQUIRE(t.write(2, 3).ok());
    t.crash(CrashKind::kPowerLoss);
    const auto bytes = t.medium->peek(kBlockBytes, kBlockBytes);
    std::size_t news = 0;
    for (const auto byte : bytes) {
      REQUIRE((byte == std::byte{1} || byte == std::byte{2}));
      news += byte == std::byte{2};
    }
    CHECK(news % 512 == 0);
    ++(news == 0 ? lost : news == kBlockBytes ? kept : torn);
  }
  CHECK(kept > 0);
  CHECK(lost > 0);
  CHECK(torn > 0);
}

TEST_CASE("the unflushed writes of one power loss fare each by itself") {
  std::set<std::pair<int, int>> seen;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    OneDisk t(seed);
    t.medium->set_crash_odds({.kept_ppm = 500'000, .lost_ppm = 500'000});
    REQUIRE(t.write(1, 1).ok());
    REQUIRE(t.write(2, 1).ok());
    t.crash(CrashKind::kPowerLoss);
    seen.insert({*t.read(1), *t.read(2)});
  }
  CHECK(seen.size() == 4);
}

TEST_CASE("a flush covers no write that completed after the flush began") {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    OneDisk t(seed);
    t.medium->set_crash_odds({.kept_ppm = 0, .lost_ppm = 1'000'000});
    const auto body = [&]() -> Task<void> {
      env::Scope scope(t.node.loop());
      const auto flush = [&]() -> Task<void> { ignore(co_await t.disk->flush(), "seen below"); };
      scope.spawn(flush());
      co_await env::yield(t.node.loop());
      co_await env::yield(t.node.loop());
      auto written = co_await store(*t.disk, 0, filled(kBlockBytes, 5));
      CHECK(written.ok());
      co_await scope.join();
    };
    t.node.run(body());
    CHECK(t.medium->volatile_writes() == 1);
    t.crash(CrashKind::kPowerLoss);
    lost += *t.read(0) == 0;
  }
  CHECK(lost == 30);
}

TEST_CASE("a killed process loses no completed write, but the machine's power still may") {
  OneDisk t;
  t.medium->set_crash_odds({.kept_ppm = 0, .lost_ppm = 1'000'000});
  REQUIRE(t.write(1, 1).ok());
  t.crash(CrashKind::kKill);
  CHECK(*t.read(1) == 1);
  t.crash(CrashKind::kPowerLoss);
  CHECK(*t.read(1) == 0);
  CHECK(t.medium->counts().of(DiskFault::kLostAtCrash) == 1);
}

TEST_CASE("a write in flight at a kill is kept, lost or torn") {
  std::set<std::size_t> outcomes;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    OneDisk t(seed);
    t.medium->plan().arm({.fault = DiskFault::kKill, .ops = sim::kWrite});
    CHECK_FALSE(t.node.run_or_crash(store(*t.disk, 0, filled(kBlockBytes, 1))));
    t.disk.reset();
    t.node.restart();
    const auto bytes = t.medium->peek(0, kBlockBytes);
    const auto ones = std::count(bytes.begin(), bytes.end(), std::byte{1});
    outcomes.insert(ones == 0 ? 0u : ones == kBlockBytes ? 2u : 1u);
    CHECK(t.medium->counts().of(DiskFault::kKill) == 1);
  }
  CHECK(outcomes.size() == 3);
}

TEST_CASE("an io error strikes the armed call only, or from then on") {
  OneDisk t;
  t.medium->plan().arm({.fault = DiskFault::kIoError, .at_call = 2, .ops = sim::kRead});
  CHECK(t.read(0).ok());
  CHECK(t.read(0).code() == Code::kIo);
  CHECK(t.read(0).ok());
  CHECK_FALSE(t.disk->failed());
  t.node.disks().plan().arm(
      {.fault = DiskFault::kIoError, .at_call = 1, .ops = sim::kWrite, .sticky = true});
  CHECK(t.write(0, 1).code() == Code::kIo);
  CHECK(t.write(0, 1).code() == Code::kIo);
  CHECK(t.node.disks().counts().of(DiskFault::kIoError) == 3);
}

TEST_CASE("a flush error fails the disk for good, and nothing became durable") {
  OneDisk t;
  t.medium->set_crash_odds({.kept_ppm = 0, .lost_ppm = 1'000'000});
  REQUIRE(t.write(0, 1).ok());
  t.medium->plan().arm({.fault = DiskFault::kIoError, .ops = sim::kFlush});
  CHECK(t.flush().code() == Code::kIo);
  CHECK(t.disk->failed());
  CHECK(t.flush().code() == Code::kIo);
  CHECK(t.read(0).code() == Code::kIo);
  t.crash(CrashKind::kPowerLoss);
  CHECK(*t.read(0) == 0);
}

TEST_CASE("a lost write is acknowledged and leaves the old content") {
  OneDisk t;
  REQUIRE(t.write(0, 1).ok());
  t.medium->plan().arm({.fault = DiskFault::kLostWrite});
  REQUIRE(t.flush().ok());  // not a write: the fault waits
  CHECK(t.write(0, 2).ok());
  CHECK(*t.read(0) == 1);
  CHECK(t.medium->counts().of(DiskFault::kLostWrite) == 1);
}

TEST_CASE("a misdirected write lands elsewhere, and not at its place") {
  OneDisk t;
  REQUIRE(t.write(5, 1).ok());
  t.medium->plan().arm({.fault = DiskFault::kMisdirectedWrite});
  CHECK(t.write(5, 2).ok());
  CHECK(*t.read(5) == 1);
  const auto all = t.medium->peek(0, t.medium->size_bytes());
  CHECK(std::count(all.begin(), all.end(), std::byte{2}) == kBlockBytes);
}

TEST_CASE("misdirected and stale reads are wrong once") {
  OneDisk t;
  REQUIRE(t.write(0, 1).ok());
  REQUIRE(t.write(0, 2).ok());
  t.medium->plan().arm({.fault = DiskFault::kStaleRead});
  CHECK(*t.read(0) == 1);
  CHECK(*t.read(0) == 2);
  t.medium->plan().arm({.fault = DiskFault::kMisdirectedRead});
  CHECK(*t.read(0) == 0);
  CHECK(*t.read(0) == 2);
}

TEST_CASE("a dropped flush says ok and makes nothing durable") {
  OneDisk t;
  t.medium->set_crash_odds({.kept_ppm = 0, .lost_ppm = 1'000'000});
  t.medium->plan().arm({.fault = DiskFault::kDroppedFlush});
  REQUIRE(t.write(0, 1).ok());
  CHECK(t.flush().ok());
  CHECK(t.medium->volatile_writes() == 1);
  t.crash(CrashKind::kPowerLoss);
  CHECK(*t.read(0) == 0);
}

TEST_CASE("a slow disk takes its factor longer, and one past its deadline has failed") {
  OneDisk t;
  const auto before = t.world.now_ns();
  REQUIRE(t.read(0).ok());
  const auto usual = t.world.now_ns() - before;
  t.medium->set_slow(true);
  REQUIRE(t.read(0).ok());
  CHECK(t.world.now_ns() - before > 10 * usual);
  sim::DiskTiming timing;
  timing.slow_factor = 1'000'000;
  t.medium->set_timing(timing);
  CHECK(t.read(0).code() == Code::kTimeout);
  CHECK(t.disk->failed());
}

TEST_CASE("a hung disk holds the buffers, and its waiter goes on at the deadline") {
  OneDisk t;
  t.medium->set_hung(true);
  const auto live = buffer_bytes_live();
  const auto before = t.world.now_ns();
  CHECK(t.write(0, 7).code() == Code::kTimeout);
  CHECK(t.world.now_ns() - before >= 30'000'000'000);
  CHECK(t.disk->failed());
  CHECK(t.disk->stats().hung_bytes == kBlockBytes);
  CHECK(buffer_bytes_live() == live + kBlockBytes);
  CHECK(t.read(0).code() == Code::kIo);
  t.medium->set_hung(false);  // a late answer, to nobody
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.disk->stats().hung_bytes == 0);
  CHECK(buffer_bytes_live() == live);
  CHECK(t.medium->peek(0, kBlockBytes)[0] == std::byte{7});
}

TEST_CASE("requests in flight when a disk hangs end at their deadlines too") {
  OneDisk t;
  t.node.loop().post([&] { t.medium->set_hung(true); });
  const auto body = [&]() -> Task<void> {
    auto into = filled(kBlockBytes, 0);
    const auto got = co_await t.disk->read(0, into);
    CHECK(got.code() == Code::kTimeout);
  };
  t.node.run(body());
}

TEST_CASE("a vanished disk gives errors, and returns only to who opens it again") {
  OneDisk t;
  REQUIRE(t.write(0, 1).ok());
  CHECK(t.node.run(t.disk->check_path()).ok());
  t.medium->set_vanished(true);
  CHECK(t.node.run(t.disk->check_path()).code() == Code::kIo);
  CHECK(t.read(0).code() == Code::kIo);
  CHECK(t.node.run(t.node.disks().open("/dev/a", {})).code() == Code::kIo);
  t.medium->set_vanished(false);
  CHECK(t.read(0).code() == Code::kIo);
  t.reopen();
  CHECK(*t.read(0) == 1);
}

TEST_CASE("an open takes the disk for itself, and knows what is not there") {
  OneDisk t;
  CHECK(t.node.run(t.node.disks().open("/dev/a", {})).code() == Code::kBusy);
  CHECK(t.node.run(t.node.disks().open("/dev/b", {})).code() == Code::kNotFound);
  t.disk.reset();
  t.reopen();
  CHECK(t.read(0).ok());
}

TEST_CASE("another device at the path is noticed, also a clone") {
  OneDisk t;
  REQUIRE(t.write(0, 1).ok());
  auto& copy = t.medium->clone();
  t.node.disks().attach("/dev/a", copy);
  CHECK(t.node.run(t.disk->check_path()).code() == Code::kIo);
  CHECK(copy.peek(0, kBlockBytes)[0] == std::byte{1});
  copy.poke(0, ByteVector(kBlockBytes, std::byte{9}));
  CHECK(*t.read(0) == 1);
}

TEST_CASE("full and read-only disks refuse writes and still read") {
  OneDisk t;
  REQUIRE(t.write(0, 1).ok());
  t.medium->set_full(true);
  CHECK(t.write(0, 2).code() == Code::kIo);
  CHECK(*t.read(0) == 1);
  t.medium->set_full(false);
  t.medium->set_read_only(true);
  CHECK(t.write(0, 2).code() == Code::kIo);
  CHECK(*t.read(0) == 1);
  CHECK(t.flush().code() == Code::kIo);
  CHECK(t.disk->failed());
}

TEST_CASE("rot changes bits that stay changed, and an old image comes back whole") {
  OneDisk t;
  REQUIRE(t.write(3, 1, 4).ok());
  REQUIRE(t.flush().ok());
  const auto image = t.medium->snapshot();
  const auto good = t.medium->peek(0, 16 * kBlockBytes);
  REQUIRE(t.medium->rot(7, 1));
  auto bad = t.medium->peek(0, 16 * kBlockBytes);
  int changed = 0;
  for (std::size_t i = 0; i < good.size(); ++i)
    changed += std::popcount(std::to_integer<unsigned>(good[i] ^ bad[i]));
  CHECK(changed == 1);
  t.crash(CrashKind::kPowerLoss);
  CHECK(t.medium->peek(0, 16 * kBlockBytes) == bad);
  t.medium->roll_back(image);
  CHECK(t.medium->peek(0, 16 * kBlockBytes) == good);
}

TEST_CASE("overlapping requests in flight are counted") {
  OneDisk t;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(t.node.loop());
    const auto one = [&](std::uint64_t block) -> Task<void> {
      ignore(co_await store(*t.disk, block * kBlockBytes, filled(2 * kBlockBytes, 1)), "counted");
    };
    scope.spawn(one(0));
    scope.spawn(one(2));
    co_await env::yield(t.node.loop());
    co_await env::yield(t.node.loop());
    CHECK(t.medium->overlaps() == 0);
    scope.spawn(one(1));
    co_await scope.join();
  };
  t.node.run(body());
  CHECK(t.medium->overlaps() == 2);
}

TEST_CASE("a sweep over all calls meets the power loss at each of them, and then passes") {
  std::uint64_t crashes = 0;
  for (std::uint64_t call = 1;; ++call) {
    OneDisk t(call);
    t.node.disks().plan().arm({.fault = DiskFault::kCrash, .at_call = call});
    const auto body = [&]() -> Async<> {
      for (std::uint64_t i = 0; i < 3; ++i) {
        SQ_CO_TRY(co_await store(*t.disk, i * kBlockBytes, filled(kBlockBytes, 1)));
        SQ_CO_TRY(co_await t.disk->flush());
      }
      co_return {};
    };
    const auto ended = t.node.run_or_crash(body());
    if (ended) {
      CHECK(call == 7);
      break;
    }
    ++crashes;
    t.disk.reset();
    t.node.restart();
    t.reopen();
    for (std::uint64_t i = 0; i + 1 < (call + 1) / 2; ++i) CHECK(*t.read(i) == 1);
  }
  CHECK(crashes == 6);
}

TEST_CASE("by chance, every fault strikes in the end") {
  OneDisk t;
  t.medium->set_rates({.io_error = 50'000,
                       .lost_write = 50'000,
                       .misdirected_write = 50'000,
                       .misdirected_read = 50'000,
                       .stale_read = 50'000,
                       .dropped_flush = 50'000,
                       .slow = 50'000,
                       .hung = 20'000});
  for (int i = 0; i < 600; ++i) {
    ignore(t.write(static_cast<std::uint64_t>(i % 64), i % 100), "faults are wanted");
    ignore(t.read(static_cast<std::uint64_t>(i % 64)), "faults are wanted");
    ignore(t.flush(), "faults are wanted");
    if (t.disk->failed()) {
      t.disk.reset();
      t.reopen();
    }
  }
  for (const auto fault : {DiskFault::kIoError, DiskFault::kLostWrite, DiskFault::kMisdirectedWrite,
                           DiskFault::kMisdirectedRead, DiskFault::kStaleRead,
                           DiskFault::kDroppedFlush, DiskFault::kSlow, DiskFault::kHung}) {
    INFO(sim::disk_fault_name(fault));
    CHECK(t.medium->counts().of(fault) > 0);
  }
}
