// Writers at a pool that is full of what was overwritten: cleaning makes room, and they wait for
// it.
#include "unit/codec/sealing.hpp"
#include "unit/store/crowd.hpp"

using namespace square;
using namespace square::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint32_t kPart = 16u << 10;

// A volume of a share of the pool, written whole in large extents.
struct Filled {
  Filled(EngineRig& r, std::uint64_t percent) : rig(r) {
    rig.start();
    const auto capacity = rig.engine->stats().pool.capacity_bytes;
    bytes = capacity / 100 * percent / kMiB * kMiB;
    volume = rig.create("v", bytes).id;
    content.resize(bytes);
    for (std::uint64_t at = 0; at < bytes; at += 256u << 10) write(at, 256u << 10, at);
  }
  void write(std::uint64_t offset, std::uint32_t size, std::uint64_t seed) {
    const auto data = random_bytes(size, seed);
    must(rig.run(rig.write(volume, offset, data)));
    std::ranges::copy(data, content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  // As many parts as the volume has, anywhere.
  void overwrite(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < bytes / kPart; ++i)
      write(random() % (bytes / kPart) * kPart, kPart, seed * 1000003 + i);
  }
  void check_content() {
    for (std::uint64_t at = 0; at < bytes; at += kMiB) {
      const auto part = rig.read(volume, at, kMiB);
      REQUIRE(
          std::equal(part.begin(), part.end(), content.begin() + static_cast<std::ptrdiff_t>(at)));
    }
  }

  EngineRig& rig;
  VolumeId volume;
  std::uint64_t bytes = 0;
  ByteVector content;
};

}  // namespace

TEST_CASE("a volume of most of the pool is overwritten at random, and no write is refused") {
  EngineRig rig;
  rig.options.write_buffer_bytes = kMiB;
  Filled filled(rig, 60);
  for (std::uint64_t round = 1; round <= 3; ++round) filled.overwrite(round);
  const auto stats = rig.engine->stats();
  CHECK(stats.moved_bytes > 0);
  CHECK(stats.rewritten_bytes > 0);  // of large extents that stay visible in part
  filled.check_content();
  rig.check();
  rig.restart();
  filled.check_content();
  rig.check();
}

TEST_CASE("writers that come together at a pool full of dead content all find room in the end") {
  EngineRig rig;
  rig.options.write_buffer_bytes = kMiB;
  Filled filled(rig, 60);
  filled.overwrite(1);
  Crowd writers(rig);
  const auto data = random_bytes(kPart, 77);
  for (std::uint64_t i = 0; i < filled.bytes / kPart; ++i)
    writers.add(rig.write(filled.volume, i * kPart, data));
  REQUIRE(writers.all_end());
  CHECK(writers.all_ok());
  CHECK((rig.read(filled.volume, 0, kPart) == data));
}

TEST_CASE("writers are refused when live content fills the pool, and deleting makes room again") {
  EngineRig rig;
  rig.options.write_buffer_bytes = kMiB;
  rig.start();
  const auto volume = rig.create("v", 64 * kMiB).id;
  Result<> refused;
  const auto data = random_bytes(256u << 10, 5);
  std::uint64_t at = 0;
  for (; at < 64 * kMiB && refused.ok(); at += data.size())
    refused = rig.run(rig.write(volume, at, data));
  REQUIRE(!refused.ok());
  CHECK(refused.code() == Code::kNoSpace);
  const auto began = rig.process.loop().now();
  CHECK(!rig.run(rig.write(volume, at, data)).ok());
  CHECK(rig.process.loop().now() - began < 5s);  // it is known that nothing can be gained
  CHECK(!rig.engine->failure());
  must(rig.run(rig.engine->zero(volume, 0, 32 * kMiB)));
  must(rig.run(rig.write(volume, 0, data)));
}

TEST_CASE("an engine stops while writers wait, and each of them has its answer") {
  EngineRig rig;
  rig.options.write_buffer_bytes = kMiB;
  Filled filled(rig, 60);
  filled.overwrite(1);
  Crowd writers(rig);
  const auto data = random_bytes(kPart, 77);
  for (std::uint64_t i = 0; i < filled.bytes / kPart; ++i)
    writers.add(rig.write(filled.volume, i * kPart, data));
  rig.world.run_for(1ms);
  rig.process.run(rig.engine->stop());
  REQUIRE(writers.all_end());
  for (const auto& each : writers.outcomes)
    CHECK((each->ok() || each->code() == Code::kUnavailable));
}
