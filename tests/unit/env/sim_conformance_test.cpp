#include <catch2/catch.hpp>

#include "conformance/disk_conformance.hpp"
#include "conformance/loop_conformance.hpp"
#include "conformance/transport_conformance.hpp"
#include "sim/env/sim_process.hpp"

using namespace square;

namespace {

struct Fixture {
  explicit Fixture(std::uint64_t seed = 1) : world(seed), node(world.add_process("n1")) {}
  env::Loop& loop() { return node.loop(); }
  void run(Task<void> task) { node.run(std::move(task)); }
  env::Transport& transport() { return node.transport(); }
  std::string listen_address() { return "n1:0"; }
  std::unique_ptr<env::Disk> open_disk() {
    const auto path = "/dev/d" + std::to_string(++made);
    node.disks().add(path, conformance::kDiskBytes);
    return node.run(node.disks().open(path, {})).value();
  }
  sim::SimWorld world;
  sim::SimProcess& node;
  int made = 0;
};

}  // namespace

TEST_CASE("the simulated loop keeps the contract of loops") {
  Fixture fixture(GENERATE(1u, 2u, 3u));
  conformance::check_loop(fixture, false);
}

TEST_CASE("the simulated disk keeps the contract of disks") {
  Fixture fixture;
  conformance::check_disk(fixture);
}

TEST_CASE("a simulated disk without latency keeps the contract of disks") {
  Fixture fixture;
  fixture.node.disks().set_timing(sim::DiskTiming::instant());
  conformance::check_disk(fixture);
}

TEST_CASE("the simulated transport keeps the contract of transports") {
  Fixture fixture;
  conformance::check_transport(fixture);
}
