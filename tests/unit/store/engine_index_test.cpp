// A damaged local index: the pool has all that is needed to do without it.
#include <filesystem>
#include <fstream>

#include "index/rocks_kv.hpp"
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
