#include <catch2/catch.hpp>

#include "sim/env/sim_process.hpp"

using namespace square;
using sim::CrashKind;
using sim::DiskFault;
using sim::SimProcess;
using sim::SimWorld;

namespace {

Buffer filled(std::size_t size, int value) {
  auto buffer = Buffer::allocate(size);
  std::memset(buffer.data(), value, size);
  return buffer;
}

Async<> store(env::Disk& disk, std::uint64_t offset, Buffer bytes) {
  BufferChain chain{std::move(bytes)};
  return disk.write(offset, std::move(chain));
}

struct OneDisk {
  explicit OneDisk(std::uint64_t seed = 1) : world(seed), node(world.add_process("n1")) {
    medium = &node.disks().add("/dev/a", 16u << 20);
    reopen();
  }
  void reopen() { disk = node.run(node.disks().open("/dev/a", {})).value(); }
  Result<> write(std::uint64_t block, int value, std::size_t blocks = 1) {
    return node.run(store(*disk, block * kBlockBytes, filled(blocks * kBlockBytes, value)));
  }
  Result<int> read(std::uint64_t block) {
    auto into = filled(kBlockBytes, 0xEE);
    auto result = node.run(disk->read(block * kBlockBytes, into));
    if (!result.ok()) return std::move(result).error();
    return std::to_integer<int>(into.bytes()[0]);
  }
  Result<> flush() { return node.run(disk->flush()); }
  void crash(CrashKind kind) {
    node.crash(kind);
    disk.reset();
    node.restart();
    reopen();
  }
  SimWorld world;
  SimProcess& node;
  sim::SimMedium* medium;
  std::unique_ptr<env::Disk> disk;
};

}  // namespace

TEST_CASE("a simulated disk reads what was written, and zeros before") {
  OneDisk t;
  CHECK(*t.read(3) == 0);
  REQUIRE(t.write(3, 7).ok());
  CHECK(*t.read(3) == 7);
  CHECK(t.disk->stats().writes == 1);
  CHECK(t.disk->stats().written_bytes == kBlockBytes);
}

TEST_CASE("a flushed write survives power loss, an unflushed one may be kept, lost or torn") {
  int kept = 0, lost = 0, torn = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    OneDisk t(seed);
    REQUIRE(t.write(1, 1).ok());
    REQUIRE(t.flush().ok());
    REQUIRE(t.write(1, 2).ok());
    REQUIRE(t.write(2, 3).ok());
    t.crash(CrashKind::kPowerLoss);
    const auto bytes = t.medium->peek(kBlockBytes, kBlockBytes);
    std::size_t news = 0;
    for (const auto byte : bytes) {
      REQUIRE((byte == std::byte{1} || byte == std::byte{2}));
      news += byte == std::byte{2};
    }
    CHECK(news % 512 == 0);
    ++(news == 0 ? lost : news == kBlockBytes ? kept : torn);
  }
  CHECK(kept > 0);
  CHECK(lost > 0);
  CHECK(torn > 0);
}
