// Several groups of one node: one lane, one pool, one index.
#include "unit/codec/sealing.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;

TEST_CASE("a group that has one small write does not hold the ring for those that write much") {
  EngineRig rig;
  rig.options.groups = 2;
  rig.start();
  const auto quiet = rig.create("quiet", 1u << 20, GroupId(1)).id;
  const auto busy = rig.create("busy", 1u << 20, GroupId(2)).id;
  must(rig.run(rig.write(quiet, 0, blocks_of(7))));
  const auto ring = rig.engine->stats().lane_ring_bytes;
  // Three times the ring, through the journal, on the same megabyte.
  std::uint64_t written = 0;
  for (std::uint64_t turn = 0; written < 3 * ring; ++turn) {
    for (std::uint64_t at = 0; at < 1u << 20; at += 128u << 10, written += 128u << 10)
      must(rig.run(rig.write(busy, at, random_bytes(128u << 10, turn + at))));
    REQUIRE(rig.engine->stats().lane_used_bytes <= ring);
  }
  CHECK(rig.read(quiet, 0, 4096) == blocks_of(7));
  rig.restart();
  CHECK(rig.read(quiet, 0, 4096) == blocks_of(7));
  rig.check();
}

TEST_CASE("each group goes on where it was, and their volumes and snapshots do not mix") {
  EngineRig rig;
  rig.options.groups = 3;
  rig.start();
  std::vector<VolumeId> volumes;
  std::vector<std::string> snapshots;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    const auto fill = static_cast<std::uint8_t>(i);
    volumes.push_back(rig.create("v" + std::to_string(i), 1u << 20, GroupId(i)).id);
    must(rig.run(rig.write(volumes.back(), 0, blocks_of(fill))));
    snapshots.push_back(
        must(rig.run(rig.engine->create_snapshot({"v" + std::to_string(i)}, "s"))).id);
    must(rig.run(rig.write(volumes.back(), 0, blocks_of(static_cast<std::uint8_t>(fill + 10)))));
  }
  rig.crash(sim::CrashKind::kPowerLoss, 0);
  rig.start();
  for (std::size_t i = 0; i < 3; ++i) {
    const auto fill = static_cast<std::uint8_t>(i + 1);
    CHECK(rig.read(volumes[i], 0, 4096) == blocks_of(static_cast<std::uint8_t>(fill + 10)));
    CHECK(rig.read(volumes[i], 0, 4096, snapshots[i]) == blocks_of(fill));
    // A snapshot of another group does not hold the volume.
    CHECK(rig.run(rig.engine->read(volumes[i], 0, 4096, snapshots[(i + 1) % 3])).code() ==
          Code::kNotFound);
  }
  CHECK(rig.run(rig.engine->create_snapshot({"v1", "v2"}, "both")).code() == Code::kInvalid);
  rig.check();
}

TEST_CASE("names are one for the whole node, whatever group a volume is in") {
  EngineRig rig;
  rig.options.groups = 2;
  rig.start();
  rig.create("v", 1u << 20, GroupId(1));
  store::CreateVolume request;
  request.name = "v";
  request.size_bytes = 1u << 20;
  request.group = GroupId(2);
  CHECK(rig.run(rig.engine->create_volume(request)).code() == Code::kExists);
}
