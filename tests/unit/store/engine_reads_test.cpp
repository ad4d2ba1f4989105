// What a read may ask for, and what it is told when there is no such thing.
#include <algorithm>
#include <limits>

#include "unit/codec/sealing.hpp"
#include "unit/store/written_blocks.hpp"

using namespace square;
using namespace square::test;

namespace {

constexpr std::uint64_t kAlmost2To64 = std::numeric_limits<std::uint64_t>::max() - 511;

}  // namespace

TEST_CASE("a read at a snapshot stays inside what a volume can be") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  must(rig.run(rig.write(volume, 0, blocks_of(0x11))));
  const auto snapshot = must(rig.run(rig.engine->create_snapshot({"v"}, "s"))).id;

  const auto read = [&](std::uint64_t offset, std::uint32_t length) {
    return rig.run(rig.engine->read(volume, offset, length, snapshot));
  };
  CHECK((rig.read(volume, 0, 4096, snapshot) == blocks_of(0x11)));
  for (const auto offset : {kAlmost2To64, std::uint64_t{100}, std::uint64_t{256} << 40}) {
    const auto reply = read(offset, 1u << 20);
    REQUIRE(!reply.ok());
    CHECK(reply.code() == Code::kInvalid);
  }
  CHECK(!read(0, 0).ok());
  CHECK(!read(0, 100).ok());
  const auto status =
      rig.run(rig.engine->block_status(volume, kAlmost2To64, 1u << 20, 10, snapshot));
  REQUIRE(!status.ok());
  CHECK(status.code() == Code::kInvalid);
}

TEST_CASE("a snapshot that does not exist is not waited for") {
  EngineRig rig;
  rig.options.groups = 2;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto other = rig.create("w", 4u << 20, GroupId(2)).id;
  must(rig.run(rig.write(volume, 0, blocks_of(0x11))));
  must(rig.run(rig.write(other, 0, blocks_of(0x22))));
  const auto of_other = must(rig.run(rig.engine->create_snapshot({"w"}, "s"))).id;

  const std::string absent[] = {"1-99999999", "1-18446744073709551615", "1-1", of_other};
  for (const auto& id : absent) {
    INFO(id);
    const auto read = rig.run(rig.engine->read(volume, 0, 4096, id));
    REQUIRE(!read.ok());
    CHECK(read.code() == Code::kNotFound);
    const auto status = rig.run(rig.engine->block_status(volume, 0, 1u << 20, 10, id));
    REQUIRE(!status.ok());
    CHECK(status.code() == Code::kNotFound);
    if (id == of_other) continue;
    const auto dropped = rig.run(rig.engine->drop_snapshot(id));
    REQUIRE(!dropped.ok());
    CHECK(dropped.code() == Code::kNotFound);
  }
  must(rig.run(rig.engine->resize_volume("v", 8u << 20)));  // nobody holds the group's lock
  rig.stop();
}

namespace {

constexpr std::uint32_t kVolumeContent = 256u << 10;  // four extents

// Reads each block by itself, which takes a part of its extent.
bool every_block_reads_back(EngineRig& rig, VolumeId volume, const ByteVector& content) {
  for (std::uint32_t at = 0; at < content.size(); at += kBlockBytes) {
    const auto got = rig.read(volume, at, kBlockBytes);
    if (!std::equal(got.begin(), got.end(), &content[at])) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a part of an extent is right whichever block of its stripe is rotten") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto content = random_bytes(kVolumeContent, 1);
  const auto written = blocks_written(rig, [&] { must(rig.run(rig.write(volume, 0, content))); });
  REQUIRE(written.size() >= 3 * kVolumeContent / kBlockBytes / 2);  // k + m = 2 + 1
  std::uint64_t found = 0;
  for (const auto& block : written) {
    block.medium->spoil(block.at, kBlockBytes, block.at);
    REQUIRE(every_block_reads_back(rig, volume, content));
    found = rig.engine->pool().status().corruptions_found;
    must(rig.engine->pool().start_scrub());  // mends what no read came upon
    REQUIRE(rig.world.run_until([&] { return !rig.engine->pool().status().scrub.active; }));
  }
  CHECK(found > 0);
  CHECK(rig.engine->stats().parts_unproven > 0);
  REQUIRE(every_block_reads_back(rig, volume, content));
  const auto status = rig.engine->pool().status();
  CHECK(status.corruptions_found >= written.size());
  CHECK(status.corruptions_repaired == status.corruptions_found);
}

TEST_CASE("a part of an extent reads back with a disk gone") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto content = random_bytes(kVolumeContent, 1);
  must(rig.run(rig.write(volume, 0, content)));
  const auto gone = GENERATE(0, 1, 2, 3);
  rig.process.disks().at(rig.options.pool.paths[static_cast<std::size_t>(gone)]).set_vanished(true);
  CHECK(every_block_reads_back(rig, volume, content));
}

TEST_CASE("extents of another frame size than today's are read") {
  EngineRig rig;
  rig.options.frame_shift = 12;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto content = random_bytes(kVolumeContent, 1);
  must(rig.run(rig.write(volume, 0, content)));
  rig.crash();
  rig.options.frame_shift = 14;
  rig.start();
  CHECK(every_block_reads_back(rig, volume, content));
}
