// Rewriting: extents of which little is visible are sealed anew, and nobody notices but the space.
#include <algorithm>

#include "env/sync.hpp"
#include "store/rewrite_core.hpp"
#include "unit/codec/sealing.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;
using namespace std::chrono_literals;
using store::Run;

namespace {

constexpr std::uint64_t kBytes = 3u << 20;
constexpr std::uint64_t kExtent = 64u << 10;
constexpr std::uint64_t kKept = 8u << 10;  // of each extent: an eighth

index::Piece shows(std::uint64_t block, std::uint64_t blocks, std::uint64_t sequence,
                   std::uint64_t from = 0) {
  format::Mapping mapping;
  mapping.hole = false;
  mapping.extent.id = {1, Sequence(sequence), 0};
  mapping.extent_offset = static_cast<std::uint32_t>(from * kBlockBytes);
  return {block * kBlockBytes, blocks * kBlockBytes, mapping};
}

Run run_of(std::uint64_t block, std::uint64_t blocks) {
  return {block * kBlockBytes, blocks * kBlockBytes};
}

// A volume whose extents were written whole and then overwritten but for their first blocks, and
// what it reads as.
struct Sparse {
  explicit Sparse(EngineRig& r) : rig(r) {
    rig.options.rewrite_interval = 2s;
    rig.start();
    volume = rig.create("v").id;
    for (std::uint64_t at = 0; at < kBytes; at += 1u << 20)
      write(at, random_bytes(1u << 20, at + 1));
  }
  void write(std::uint64_t offset, const ByteVector& bytes) {
    must(rig.run(rig.write(volume, offset, bytes)));
    std::ranges::copy(bytes, content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void overwrite(std::uint64_t keep_bytes = kKept) {
    for (std::uint64_t at = 0; at < kBytes; at += kExtent)
      write(at + keep_bytes, random_bytes(kExtent - keep_bytes, at + 2));
    must(rig.run(rig.engine->checkpoint()));
  }
  ByteVector read(std::optional<std::string> snapshot = std::nullopt) {
    ByteVector all;
    for (std::uint64_t at = 0; at < kBytes; at += 1u << 20) {
      const auto part = rig.read(volume, at, 1u << 20, snapshot);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  std::uint64_t rewritten() const { return rig.engine->stats().rewritten_bytes; }
  // Long enough for a pass that takes everything for new, and for the next ones.
  void let_it_rewrite() {
    rig.world.run_for(20s);
    must(rig.run(rig.engine->checkpoint()));
    rig.world.run_for(5s);  // summaries of what was closed now
    must(rig.run(rig.engine->checkpoint()));
    rig.world.run_for(1s);  // discards
  }

  EngineRig& rig;
  VolumeId volume;
  ByteVector content = ByteVector(kBytes);
};

}  // namespace

TEST_CASE("what the present and the snapshots show of an extent is joined") {
  const std::vector<std::vector<index::Piece>> layers{
      {shows(0, 2, 7), shows(2, 2, 9), shows(4, 1, 7, 4)},
      {shows(1, 2, 7, 1), shows(3, 1, 8)},
      {shows(5, 1, 7, 5), {6 * kBlockBytes, kBlockBytes, std::nullopt}}};
  CHECK(store::visible_runs({1, Sequence(7), 0}, layers) ==
        std::vector{run_of(0, 3), run_of(4, 2)});
  CHECK(store::visible_runs({1, Sequence(6), 0}, layers).empty());
  CHECK(store::newest(layers[0]) == Sequence(9));
}

TEST_CASE("a quarter is enough to leave an extent alone, and nothing at all is no reason either") {
  const std::vector quarter{run_of(0, 1), run_of(4, 3)};
  CHECK_FALSE(store::little_is_visible(quarter, 16 * kBlockBytes));
  const std::vector less{run_of(0, 3)};
  CHECK(store::little_is_visible(less, 16 * kBlockBytes));
  CHECK_FALSE(store::little_is_visible({}, 16 * kBlockBytes));
}

TEST_CASE("extents of which little is visible are sealed anew, and their space comes back") {
  EngineRig rig;
  Sparse sparse(rig);
  sparse.overwrite();
  const auto free = rig.engine->stats().pool.segments_free;
  sparse.let_it_rewrite();
  CHECK(sparse.rewritten() == kBytes / kExtent * kKept);
  CHECK(rig.engine->stats().pool.segments_free >= free + 4);  // of six that were as good as dead
  CHECK(sparse.read() == sparse.content);
  rig.check();
  rig.restart();
  CHECK(sparse.read() == sparse.content);
  sparse.let_it_rewrite();
  CHECK(sparse.rewritten() == 0);  // there is nothing more to do
}

TEST_CASE("an extent of which a quarter is visible is left as it is") {
  EngineRig rig;
  Sparse sparse(rig);
  sparse.overwrite(16u << 10);
  sparse.let_it_rewrite();
  CHECK(sparse.rewritten() == 0);
}

TEST_CASE("a rewrite shows in the snapshots too, or the extent would keep its space for them") {
  EngineRig rig;
  Sparse sparse(rig);
  sparse.overwrite();
  const auto then = sparse.content;
  const auto snapshot = must(rig.run(rig.engine->create_snapshot({"v"}, "s"))).id;
  // The first of the two blocks that are left goes to the snapshot's history.
  for (std::uint64_t at = 0; at < kBytes; at += kExtent)
    sparse.write(at, random_bytes(kBlockBytes, at + 3));
  must(rig.run(rig.engine->checkpoint()));
  const auto free = rig.engine->stats().pool.segments_free;
  sparse.let_it_rewrite();
  CHECK(sparse.rewritten() == kBytes / kExtent * kKept);
  CHECK(rig.engine->stats().pool.segments_free >= free + 4);
  CHECK(sparse.read() == sparse.content);
  CHECK(sparse.read(snapshot) == then);
  rig.crash(sim::CrashKind::kPowerLoss, 0);  // again from checkpoint and journal
  rig.start();
  CHECK(sparse.read() == sparse.content);
  CHECK(sparse.read(snapshot) == then);
  rig.check();
}

TEST_CASE("a crash anywhere in rewriting changes nothing that is read") {
  for (std::uint64_t at = 5; at < 120; at += 10) {
    INFO("crash at disk operation " << at);
    EngineRig rig(nullptr, at);
    Sparse sparse(rig);
    sparse.overwrite();
    rig.process.disks().plan().arm({sim::DiskFault::kCrash, at, sim::kAnyOp, false});
    rig.world.run_until([&] { return !rig.process.running(); }, 20s);
    rig.process.disks().plan().disarm();
    rig.crash(sim::CrashKind::kPowerLoss,
              at % 4 == 1 ? std::optional<std::size_t>(0) : std::nullopt);
    rig.start();
    CHECK(sparse.read() == sparse.content);
    sparse.let_it_rewrite();
    CHECK(sparse.read() == sparse.content);
    rig.check();
  }
}

TEST_CASE("writes that come while extents are sealed anew win over them") {
  EngineRig rig;
  Sparse sparse(rig);
  sparse.overwrite();
  std::uint64_t seed = 100, rewritten = 0;
  for (int round = 0; round < 60; ++round) {
    // Between ticks and in them, at the very blocks that are left of the large extents.
    rig.world.run_for(std::chrono::milliseconds(333));
    const auto at = kExtent * (seed * 7 % (kBytes / kExtent));
    sparse.write(at, random_bytes(kBlockBytes, ++seed));
    rewritten = std::max(rewritten, sparse.rewritten());
  }
  CHECK(rewritten > 0);
  CHECK(sparse.read() == sparse.content);
  sparse.let_it_rewrite();
  CHECK(sparse.read() == sparse.content);
  rig.check();
}
