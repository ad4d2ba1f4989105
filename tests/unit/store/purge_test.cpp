// A volume's end: deleted, brought back for a while, purged; and its space afterwards.
#include <algorithm>

#include "env/sync.hpp"
#include "unit/codec/sealing.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kBytes = 3u << 20;

std::uint32_t free_segments(EngineRig& rig) { return rig.engine->stats().pool.segments_free; }

// Writes it full, and says how many segments that took.
std::uint32_t fill(EngineRig& rig, VolumeId volume) {
  const auto before = free_segments(rig);
  for (std::uint64_t at = 0; at < kBytes; at += 1u << 20)
    must(rig.run(rig.write(volume, at, random_bytes(1u << 20, at))));
  must(rig.run(rig.engine->checkpoint()));
  REQUIRE(free_segments(rig) + 4 < before);
  return before - free_segments(rig);
}

std::vector<store::VolumeInfo> deleted_volumes(EngineRig& rig) {
  auto all = must(rig.run(rig.engine->list_volumes(true)));
  std::erase_if(all, [](const auto& each) { return each.state == store::VolumeState::kReady; });
  return all;
}

// Its mappings went, and a checkpoint gave the space back: all but what is open.
bool space_is_back(EngineRig& rig, std::uint32_t free_before, std::uint32_t taken) {
  for (int turn = 0; turn < 2; ++turn) {  // what is closed by the first is free by the second
    rig.world.run_for(5s);
    must(rig.run(rig.engine->checkpoint()));
  }
  rig.world.run_for(1s);
  return free_segments(rig) + 2 >= free_before + taken;
}

template <class T>
Task<void> keep(Async<T> task, std::optional<Result<T>>* out) {
  out->emplace(co_await task);
}

}  // namespace

TEST_CASE("a deleted volume can be brought back until its window has passed, and then is purged") {
  EngineRig rig;
  rig.options.undelete_window = 60s;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto taken = fill(rig, volume);
  const auto free = free_segments(rig);

  const auto gone = must(rig.run(rig.engine->delete_volume("v")));
  CHECK(gone.state == store::VolumeState::kDeleted);
  const auto left = gone.purge_wall_ns - rig.process.loop().wall().ns;
  CHECK(left > std::chrono::nanoseconds(59s).count());
  CHECK(left <= std::chrono::nanoseconds(60s).count());
  rig.world.run_for(40s);
  must(rig.run(rig.engine->undelete_volume("v")));
  CHECK(rig.read(volume, 0, 1u << 20) == random_bytes(1u << 20, 0));

  // The window begins anew, and restarts do not cut it short.
  must(rig.run(rig.engine->delete_volume("v")));
  rig.world.run_for(40s);
  rig.restart();
  CHECK(deleted_volumes(rig).size() == 1);
  rig.world.run_for(30s);
  CHECK(deleted_volumes(rig).empty());
  CHECK(rig.run(rig.engine->undelete_volume("v")).code() == Code::kNotFound);
  CHECK(space_is_back(rig, free, taken));
  rig.check();
}

TEST_CASE("a purge that was asked for frees at once, and its id is never used again") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto taken = fill(rig, volume);
  const auto free = free_segments(rig);
  CHECK(rig.run(rig.engine->purge_volume("v")).code() == Code::kConflict);  // not deleted
  CHECK(rig.run(rig.engine->purge_volume("w")).code() == Code::kNotFound);
  must(rig.run(rig.engine->delete_volume("v")));
  must(rig.run(rig.engine->purge_volume("v")));
  CHECK(deleted_volumes(rig).empty());
  CHECK(space_is_back(rig, free, taken));
  const auto other = rig.create("v").id;
  CHECK(other.value > volume.value);
  CHECK(rig.read(other, 0, 64u << 10) == ByteVector(64u << 10));
  CHECK(rig.run(rig.engine->read(volume, 0, 4096)).code() == Code::kNotFound);
  rig.restart();
  CHECK(rig.create("third").id.value > other.value);
  rig.check();
}

TEST_CASE("what a snapshot names stays after the purge of its volume, and goes with the snapshot") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto taken = fill(rig, volume);
  const auto snapshot = must(rig.run(rig.engine->create_snapshot({"v"}, "s"))).id;
  const auto free = free_segments(rig);
  must(rig.run(rig.engine->delete_volume("v")));
  must(rig.run(rig.engine->purge_volume("v")));
  CHECK_FALSE(space_is_back(rig, free, taken));
  CHECK(rig.read(volume, 0, 1u << 20, snapshot) == random_bytes(1u << 20, 0));
  rig.restart();
  CHECK(rig.read(volume, 1u << 20, 1u << 20, snapshot) == random_bytes(1u << 20, 1u << 20));
  CHECK(must(rig.run(rig.engine->list_snapshots()))[0].volumes == std::vector<std::string>{"v"});
  rig.check();
  must(rig.run(rig.engine->drop_snapshot(snapshot)));
  CHECK(space_is_back(rig, free, taken));
  CHECK(rig.run(rig.engine->read(volume, 0, 4096, snapshot)).code() == Code::kNotFound);
  rig.check();
}

TEST_CASE("a purge with a crash anywhere in it is done, or can be asked for again") {
  for (std::uint64_t at = 1; at < 80; at += 6) {
    INFO("crash at disk operation " << at);
    EngineRig rig(nullptr, at);
    rig.start();
    const auto volume = rig.create("v").id;
    const auto taken = fill(rig, volume);
    const auto free = free_segments(rig);
    must(rig.run(rig.engine->delete_volume("v")));
    rig.process.disks().plan().arm({sim::DiskFault::kCrash, at, sim::kAnyOp, false});
    auto* engine = rig.engine.get();
    const auto ended = rig.process.run_or_crash([](store::Engine* e) -> Async<> {
      SQ_CO_TRY(co_await e->purge_volume("v"));
      co_return co_await e->checkpoint();
    }(engine));
    rig.process.disks().plan().disarm();
    rig.crash(sim::CrashKind::kPowerLoss,
              at % 3 == 0 ? std::optional<std::size_t>(0) : std::nullopt);
    rig.start();
    if (ended && ended->ok()) CHECK(deleted_volumes(rig).empty());
    if (!deleted_volumes(rig).empty()) must(rig.run(rig.engine->purge_volume("v")));
    CHECK(deleted_volumes(rig).empty());
    CHECK(space_is_back(rig, free, taken));
    rig.check();
  }
}

TEST_CASE("writes that wait while their volume is purged leave nothing behind") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v", 16u << 20).id;
  must(rig.run(rig.engine->checkpoint()));
  const auto free = free_segments(rig);
  constexpr std::size_t kWrites = 192;  // three times what the write buffer takes
  std::vector<std::optional<Result<>>> done(kWrites);
  std::optional<Result<store::VolumeInfo>> deleted;
  std::optional<Result<>> purged;
  env::Scope scope(rig.process.loop());
  const auto content = random_bytes(64u << 10, 1);
  for (std::size_t i = 0; i < kWrites; ++i)
    scope.spawn(keep(rig.write(volume, i << 16, content), &done[i]));
  const auto ended = [&] {
    return std::ranges::any_of(done, [](const auto& one) { return one.has_value(); });
  };
  rig.world.run_until(ended);
  scope.spawn([](EngineRig* r, std::optional<Result<store::VolumeInfo>>* gone,
                 std::optional<Result<>>* freed) -> Task<void> {
    gone->emplace(co_await r->engine->delete_volume("v"));
    freed->emplace(co_await r->engine->purge_volume("v"));
  }(&rig, &deleted, &purged));
  rig.world.run_until([&] { return scope.size() == 0; });
  REQUIRE(deleted->ok());
  REQUIRE(purged->ok());
  CHECK(std::ranges::any_of(done, [](const auto& one) { return one->ok(); }));
  CHECK(
      std::ranges::any_of(done, [](const auto& one) { return one->failed_with(Code::kNotFound); }));
  CHECK(space_is_back(rig, free, 0));
  rig.check();
}

TEST_CASE("a resize that waits behind a delete does not bring the volume back") {
  EngineRig rig;
  rig.start();
  rig.create("v");
  std::optional<Result<store::VolumeInfo>> gone, grown;
  env::Scope scope(rig.process.loop());
  scope.spawn(keep(rig.engine->delete_volume("v"), &gone));
  scope.spawn(keep(rig.engine->resize_volume("v", 8u << 20), &grown));
  rig.world.run_until([&] { return scope.size() == 0; });
  CHECK(gone->ok());
  CHECK(grown->code() == Code::kNotFound);
  CHECK(deleted_volumes(rig).size() == 1);
}

TEST_CASE("a read of a snapshot behind any possible end is refused, not answered with anything") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto snapshot = must(rig.run(rig.engine->create_snapshot({"v"}, "s"))).id;
  for (const std::uint64_t offset : {~0ull - 4095, 256ull << 40})
    CHECK(rig.run(rig.engine->read(volume, offset, 4096, snapshot)).code() == Code::kInvalid);
  CHECK(rig.run(rig.engine->read(volume, 0, 0, snapshot)).code() == Code::kInvalid);
  CHECK(rig.run(rig.engine->read(volume, 100, 512, snapshot)).code() == Code::kInvalid);
  CHECK(rig.read(volume, 1u << 30, 4096, snapshot) == ByteVector(4096));
}
