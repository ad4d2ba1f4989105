// A damaged local index: the pool has all that is needed to do without it.
#include <filesystem>
#include <fstream>

#include "index/rocks_kv.hpp"
#include "support/failing_kv.hpp"
#include "unit/env/temporary_folder.hpp"
#include "unit/store/crowd.hpp"

using namespace square;
using namespace square::test;

namespace {

// Flips a byte in the first block of every table.
std::size_t damage_tables(const std::string& folder) {
  std::size_t damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(8);
    const auto byte = static_cast<char>(file.get());
    file.seekp(8);
    file.put(static_cast<char>(byte ^ 0x55));
    ++damaged;
  }
  return damaged;
}

}  // namespace

TEST_CASE("a local index that is damaged inside is left aside at the start") {
  const TemporaryFolder folder;
  const auto path = folder.path() + "/index";
  auto files = std::make_unique<index::RocksKvFactory>(path);
  EngineRig rig(files.get());
  rig.start();
  const auto volume = rig.create("v").id;
  must(rig.run(rig.write(volume, 0, bytes_of(1, 512u << 10))));
  must(rig.run(rig.engine->checkpoint()));
  rig.crash();
  REQUIRE(damage_tables(path) > 0);
  for (int start = 0; start < 2; ++start) {
    rig.start();
    CHECK(rig.engine->stats().index_from_pool == (start == 0));
    CHECK((rig.read(volume, 4096, 4096) == blocks_of(1)));
    must(rig.run(rig.write(volume, 1u << 20, blocks_of(2))));
    rig.check();
    rig.crash();
  }
}

namespace {

// Writes one block after the other until one is refused; how many were acknowledged.
Task<void> write_on(EngineRig& rig, VolumeId volume, std::uint64_t from,
                    std::size_t& acknowledged) {
  while ((co_await rig.write(volume, from + acknowledged * kBlockBytes, blocks_of(2))).ok())
    ++acknowledged;
}

Task<void> checkpoint_in_vain(EngineRig& rig) {
  CHECK_FALSE((co_await rig.engine->checkpoint()).ok());
}

}  // namespace

TEST_CASE(
    "what was acknowledged around the moment that the index failed is there at the next start") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    INFO(seed);
    index::MapKvStorage storage;
    FailingKvFactory files(storage, Code::kIo);
    EngineRig rig(&files, seed);
    rig.start();
    const auto volume = rig.create("v", 64u << 20).id;
    must(rig.run(rig.engine->checkpoint()));
    for (std::uint64_t i = 0; i < 20; ++i)
      must(rig.run(rig.write(volume, i * kBlockBytes, blocks_of(1))));
    rig.world.run_for(std::chrono::seconds(3));  // the index has them, and no checkpoint
    constexpr std::size_t kWriters = 16;
    std::array<std::size_t, kWriters> acknowledged{};
    {
      env::Scope scope(rig.process.loop());
      for (std::uint64_t i = 0; i < kWriters; ++i)
        scope.spawn(write_on(rig, volume, (i + 1) << 20, acknowledged[i]));
      rig.world.run_for(std::chrono::milliseconds(seed));
      files.failing = true;
      scope.spawn(checkpoint_in_vain(rig));
      REQUIRE(rig.world.run_until([&] { return scope.size() == 0; }, std::chrono::minutes(2)));
    }
    CHECK(files.refused > 0);
    CHECK(rig.engine->failure());
    files.failing = false;
    rig.crash();
    storage.crash(0);  // its flushes are lost as well
    rig.start();
    CHECK((rig.read(volume, 0, 20 * kBlockBytes) == blocks_of(1, 20)));
    for (std::uint64_t i = 0; i < kWriters; ++i)
      for (std::size_t n = 0; n < acknowledged[i]; ++n)
        CHECK((rig.read(volume, ((i + 1) << 20) + n * kBlockBytes, kBlockBytes) == blocks_of(2)));
    rig.check();
  }
}

TEST_CASE("nobody waits for an index that takes no more, and the engine stops") {
  index::MapKvStorage storage;
  FailingKvFactory files(storage, Code::kIo);
  EngineRig rig(&files);
  rig.start();
  const auto volume = rig.create("v", 64u << 20).id;
  must(rig.run(rig.write(volume, 60u << 20, blocks_of(9))));
  files.failing = true;
  Crowd crowd(rig);
  constexpr std::uint32_t kPart = 128u << 10;
  for (std::uint64_t i = 0; i < 100; ++i)  // three times the write buffer
    crowd.add(rig.write(volume, i * kPart, bytes_of(1, kPart)));
  REQUIRE(crowd.all_end());
  CHECK(crowd.count(Code::kUnavailable) > 0);
  CHECK(rig.engine->failure());
  rig.stop();
}
