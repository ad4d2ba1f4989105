// An engine in trouble: what is lost, full or broken must not take the rest with it, and nobody may
// wait for what does not come.
#include "unit/store/crowd.hpp"
#include "unit/store/written_blocks.hpp"

using namespace square;
using namespace square::test;

namespace {

using namespace std::chrono_literals;

// Noise over all that `change` wrote to the chunks of two members: more than m = 1 strips of it.
template <class Change>
void rot_what_it_writes(EngineRig& rig, Change change) {
  std::size_t changed[2] = {};
  for (const auto& block : blocks_written(rig, change)) {
    if (block.disk >= 2) continue;
    ++changed[block.disk];
    block.medium->spoil(block.at, kBlockBytes, 7 + block.at);
  }
  REQUIRE(changed[0] > 0);
  REQUIRE(changed[1] > 0);
}

}  // namespace

TEST_CASE("a lost stripe is said to its readers, and everything else goes on") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  constexpr std::uint32_t kPart = 256u << 10;
  rot_what_it_writes(rig, [&] { must(rig.run(rig.write(volume, 0, bytes_of(1, kPart)))); });
  for (std::uint64_t i = 1; i < 6; ++i)
    must(rig.run(rig.write(volume, i * kPart, bytes_of(2, kPart))));

  for (int start = 0; start < 2; ++start) {
    const auto lost = rig.run(rig.engine->read(volume, 0, 4096));
    REQUIRE(!lost.ok());
    CHECK(lost.code() == Code::kDataLoss);
    rig.world.run_for(5s);  // the cleaner has a look at it
    CHECK(!rig.engine->failure());
    CHECK((rig.read(volume, kPart, 4096) == blocks_of(2)));
    must(rig.run(rig.write(volume, 6 * kPart, bytes_of(3, kPart))));
    must(rig.run(rig.engine->checkpoint()));
    if (start == 0) rig.restart();
  }
  // Written again, it is whole again.
  must(rig.run(rig.write(volume, 0, bytes_of(4, kPart))));
  CHECK((rig.read(volume, 0, 4096) == blocks_of(4)));
}

TEST_CASE("an engine whose journal has no disk left says so, and nobody waits for it") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  constexpr std::uint32_t kPart = 128u << 10;
  // A sealer is there: they wait for the write buffer, and not for a seal's record.
  must(rig.run(rig.write(volume, 60u << 20, blocks_of(9))));
  for (const auto& path : rig.options.pool.paths) rig.process.disks().at(path).set_read_only(true);
  Crowd writers(rig);
  for (std::uint64_t i = 0; i < 100; ++i)  // three times the write buffer
    writers.add(rig.write(volume, i * kPart, bytes_of(1, kPart)));
  REQUIRE(writers.all_end());
  CHECK(std::ranges::none_of(writers.outcomes, [](const auto& each) { return each->ok(); }));
  CHECK(writers.count(Code::kUnavailable) > 0);  // those that waited for the buffer
  CHECK(rig.engine->failure());
  rig.stop();
}

TEST_CASE("an engine whose disks all fail while writers wait for the buffer ends, and they do") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  constexpr std::uint32_t kPart = 128u << 10;
  must(rig.run(rig.write(volume, 60u << 20, blocks_of(9))));
  Crowd writers(rig);
  for (std::uint64_t i = 0; i < 100; ++i)
    writers.add(rig.write(volume, i * kPart, bytes_of(1, kPart)));
  // What the journal has is committed, and the rest waits for a destage, which finds no disk.
  rig.world.run_until([&] { return rig.engine->stats().write_buffer_waiting > 10; }, 10s);
  for (const auto& path : rig.options.pool.paths) rig.process.disks().at(path).set_vanished(true);
  const auto stopped = [&]() -> Task<void> { co_await rig.engine->stop(); };
  Crowd stop(rig);
  const auto note = [&]() -> Async<> {
    co_await stopped();
    co_return {};
  };
  stop.add(note());
  REQUIRE(stop.all_end());
  REQUIRE(writers.all_end());
  CHECK(writers.count(Code::kUnavailable) > 0);
}

TEST_CASE("writers that wait for the write buffer together do not fill the pool together") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  constexpr std::uint32_t kPart = 128u << 10;
  Crowd writers(rig);
  for (std::uint64_t i = 0; i < 400; ++i)  // 50 MiB, more than the pool has
    writers.add(rig.write(volume, i * kPart, bytes_of(1, kPart)));
  REQUIRE(writers.all_end());
  CHECK(writers.count(Code::kNoSpace) > 0);
  // All that was accepted found room, and what is full can be emptied.
  must(rig.run(rig.engine->checkpoint()));
  must(rig.run(rig.engine->zero(volume, 0, 64u << 20)));
  must(rig.run(rig.engine->checkpoint()));
  rig.world.run_for(5s);
  must(rig.run(rig.write(volume, 0, bytes_of(2, kPart))));
  CHECK(!rig.engine->failure());
}
