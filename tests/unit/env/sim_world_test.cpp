#include <catch2/catch.hpp>
#include <set>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace std::chrono_literals;
using sim::CrashKind;

namespace {

Task<void> busy(sim::SimProcess& node, env::Disk& disk, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const auto block = node.random().draw<std::uint32_t>() % 64;
    BufferChain chain{Buffer::zeroed(kBlockBytes)};
    ignore(co_await disk.write(block * kBlockBytes, std::move(chain)), "only the schedule counts");
    if (i % 4 == 0) ignore(co_await disk.flush(), "only the schedule counts");
    co_await env::offload(node.loop(), [i] { return i; });
  }
}

std::uint64_t hash_of(std::uint64_t seed) {
  sim::SimWorld world(seed);
  auto& node = world.add_process("n1");
  node.disks().add("/dev/a", 1u << 20);
  const auto disk = node.run(node.disks().open("/dev/a", {})).value();
  node.run(busy(node, *disk, 50));
  node.crash(CrashKind::kPowerLoss);
  return world.hash();
}

}  // namespace

TEST_CASE("one seed is one run, and another seed is another") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto hash = hash_of(seed);
    CHECK(hash_of(seed) == hash);
    hashes.insert(hash);
  }
  CHECK(hashes.size() == 20);
}

TEST_CASE("virtual time costs nothing to wait for, and clocks drift as told") {
  sim::SimWorld world(1);
  auto& exact = world.add_process("exact");
  auto& fast = world.add_process("fast", {.boot_drift_ppb = 1'000'000});
  const auto exact_start = exact.loop().now();
  const auto fast_start = fast.loop().now();
  world.run_for(1000s);
  CHECK(exact.loop().now() - exact_start == 1000s);
  CHECK(fast.loop().now() - fast_start == 1001s);
  const auto at = fast.loop().now() + 10s;
  fast.run(env::sleep_until(fast.loop(), at));
  CHECK(fast.loop().now() >= at);
  CHECK(fast.loop().now() - at < 1ms);
}

TEST_CASE("after a crash nothing of the run before is ever heard of again") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  node.disks().add("/dev/a", 1u << 20);
  int heard = 0;
  {
    const auto disk = node.run(node.disks().open("/dev/a", {})).value();
    env::Scope scope(node.loop());
    const auto reader = [&]() -> Task<void> {
      ignore(co_await disk->read(0, Buffer::zeroed(kBlockBytes)), "never comes");
      ++heard;
    };
    scope.spawn(reader());
    world.run_for(5us);
    node.loop().post([&] { ++heard; });
    node.loop().add_timer(node.loop().now() + 1ms, [&] { ++heard; });
    node.loop().run_on_helper([&] { ++heard; }, [&] { ++heard; });
    node.crash(CrashKind::kKill);
    node.loop().post([&] { ++heard; });
    node.loop().add_timer(node.loop().now() + 1ms, [&] { ++heard; });
    world.run_for(1s);
  }
  node.restart();
  world.run_for(1s);
  CHECK(heard == 0);
  const auto again = node.run(node.disks().open("/dev/a", {}));
  CHECK(again.ok());
}

TEST_CASE("a stopped process does nothing until it goes on, and then everything") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  int ran = 0;
  node.loop().add_timer(node.loop().now() + 1ms, [&] { ++ran; });
  node.set_paused(true);
  node.loop().post([&] { ++ran; });
  world.run_for(10s);
  CHECK(ran == 0);
  node.set_paused(false);
  world.run_for(1ms);
  CHECK(ran == 2);
}

TEST_CASE("a run is over at its limit, or when nothing can happen any more") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  CHECK_FALSE(world.run_until([] { return false; }));
  node.loop().add_timer(node.loop().now() + 1h, [] {});
  CHECK_FALSE(world.run_until([] { return false; }, 1min));
  CHECK(world.run_until([&] { return world.now_ns() >= 3'600'000'000'000; }, 2h));
}

TEST_CASE("files fail when told, and keep what they had") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  auto& files = node.files();
  REQUIRE(files.make_folder("/state/keys").ok());
  CHECK(files.exists("/state"));
  REQUIRE(files.write_atomic("/state/keys/a", as_bytes("one")).ok());
  files.fail_call(1, Code::kNoSpace);
  REQUIRE(files.write_atomic("/state/keys/b", as_bytes("two")).ok());
  CHECK(files.write_atomic("/state/keys/a", as_bytes("new")).code() == Code::kNoSpace);
  CHECK(as_text(*files.read("/state/keys/a", 100)) == "one");
  CHECK(files.faults_fired() == 1);
  CHECK(files.read("/state/keys/a", 2).code() == Code::kInvalid);
  CHECK(files.read("/state/none", 2).code() == Code::kNotFound);
  CHECK(*files.list("/state/keys") == std::vector<std::string>{"a", "b"});
  CHECK(*files.list("/state") == std::vector<std::string>{"keys"});
  files.set_read_only(true);
  CHECK(files.remove_tree("/state").code() == Code::kIo);
  files.set_read_only(false);
  node.crash(CrashKind::kPowerLoss);
  CHECK(files.write_atomic("/state/keys/a", as_bytes("dead")).code() == Code::kIo);
  node.restart();
  CHECK(as_text(*files.read("/state/keys/a", 100)) == "one");
  REQUIRE(files.remove_tree("/state/keys").ok());
  CHECK_FALSE(files.exists("/state/keys/a"));
  CHECK(files.exists("/state"));
}
