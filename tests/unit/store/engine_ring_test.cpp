// The journal's ring: what comes late into it must not find it full of what waits for it.
#include "unit/store/crowd.hpp"

using namespace square;
using namespace square::test;

namespace {

constexpr std::uint32_t kPart = 128u << 10;   // by the journal
constexpr std::uint32_t kWhole = 512u << 10;  // a stripe of its own

}  // namespace

TEST_CASE("a direct write whose stripe hangs finds room for its payload, whatever came meanwhile") {
  EngineRig rig(nullptr, 1, 96u << 20);
  rig.options.groups = 2;
  rig.start();
  const auto first = rig.create("v", 64u << 20, GroupId(1)).id;
  const auto second = rig.create("w", 64u << 20, GroupId(2)).id;

  // Their seals are in the log: what a direct write writes first is its stripe.
  must(rig.run(rig.write(first, 48u << 20, blocks_of(9))));
  must(rig.run(rig.write(second, 48u << 20, blocks_of(9))));

  auto& medium = rig.process.disks().at(rig.options.pool.paths[0]);
  medium.plan().arm({sim::DiskFault::kHung, 1, sim::kWrite, false});
  Crowd writers(rig);
  writers.add(rig.write(first, 0, bytes_of(1, kWhole)));
  const auto struck = [&] { return medium.counts().of(sim::DiskFault::kHung) > 0; };
  REQUIRE(rig.world.run_until(struck, std::chrono::seconds(1)));
  // Journalled before the direct write, acknowledged after it: they stay in the ring until then.
  for (std::uint64_t i = 1; i < 5; ++i)
    writers.add(rig.write(first, kWhole + i * kPart, bytes_of(2, kPart)));
  // Meanwhile the other group fills the ring more than once.
  for (std::uint64_t i = 0; i < 72; ++i)
    writers.add(rig.write(second, i % 32 * kPart, bytes_of(3, kPart)));
  REQUIRE(writers.all_end());
  CHECK(writers.all_ok());
  CHECK(!rig.engine->failure());
  for (int start = 0; start < 2; ++start) {
    CHECK((rig.read(first, 0, 4096) == blocks_of(1)));
    CHECK((rig.read(first, kWhole + kPart, 4096) == blocks_of(2)));
    CHECK((rig.read(second, 0, 4096) == blocks_of(3)));
    if (start == 0) rig.restart();
  }
}

TEST_CASE("many direct writes at once share a small ring") {
  EngineRig rig(nullptr, 1, 96u << 20);
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  for (int round = 0; round < 2; ++round) {
    Crowd writers(rig);
    for (std::uint64_t i = 0; i < 12; ++i) {
      writers.add(rig.write(volume, i * kWhole, bytes_of(1, kWhole)));
      writers.add(rig.write(volume, (8u << 20) + i * kPart, bytes_of(2, kPart)));
    }
    REQUIRE(writers.all_end(std::chrono::seconds(20)));
    CHECK(writers.all_ok());
  }
}

TEST_CASE("a placement record holds no more than a record may, however much waits for its turn") {
  EngineRig rig;
  rig.options.write_buffer_bytes = 64u << 20;
  rig.options.direct_bytes_min = 64u << 10;
  rig.start();
  store::CreateVolume request;
  request.name = "v";
  request.size_bytes = 64u << 20;
  request.extent_bytes = 4096;
  const auto volume = must(rig.run(rig.engine->create_volume(request))).id;
  Crowd writers(rig);
  writers.add(rig.write(volume, 0, blocks_of(1)));  // not placed: all that follows waits for it
  for (std::uint64_t i = 1; i < 100; ++i)
    writers.add(rig.write(volume, i * kPart, bytes_of(2, kPart)));
  REQUIRE(writers.all_end());
  CHECK(writers.all_ok());
  must(rig.run(rig.engine->checkpoint()));
  CHECK(!rig.engine->failure());
  rig.restart();
  CHECK((rig.read(volume, 99 * kPart, 4096) == blocks_of(2)));
}
