#include "daemon/pool_watch.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::daemon;

namespace {

pool::DiskStatus disk(std::uint16_t slot, pool::DiskState state, std::string why = {}) {
  pool::DiskStatus disk;
  disk.slot = Slot(slot);
  disk.id.uuid.bytes[0] = static_cast<unsigned char>(slot + 1);
  disk.path = "/d" + std::to_string(slot);
  disk.state = state;
  disk.why = std::move(why);
  return disk;
}

using pool::DiskState;
using Lines = std::vector<PoolWatch::Line>;

}  // namespace

TEST_CASE("a pool that is well gives no line at the first look, and none later") {
  PoolWatch watch;
  const std::vector<pool::DiskStatus> disks{disk(0, DiskState::kMember),
                                            disk(1, DiskState::kSpare)};
  CHECK(watch.look({}, disks).empty());
  CHECK(watch.look({}, disks).empty());
}

TEST_CASE("a disk that is bad at the start is told, and one that changes") {
  PoolWatch watch;
  CHECK(watch.look({}, {disk(0, DiskState::kMember), disk(1, DiskState::kForeign, "other cell")}) ==
        Lines{{LogLevel::kWarning, "disk 1 (/d1) is foreign: other cell"}});
  CHECK(watch.look({}, {disk(0, DiskState::kFailed, "EIO"), disk(2, DiskState::kSpare)}) ==
        Lines{{LogLevel::kWarning, "disk 0 (/d0) is failed: EIO"},
              {LogLevel::kInfo, "disk 2 (/d2) is spare"},
              {LogLevel::kInfo, "disk 1 (/d1) is listed no more"}});
}

TEST_CASE("repairs are told when they begin and end, and corruptions when they are counted") {
  PoolWatch watch;
  pool::PoolStatus pool;
  CHECK(watch.look(pool, {}).empty());
  pool.rebuild.active = true;
  CHECK(watch.look(pool, {}) == Lines{{LogLevel::kInfo, "rebuild began"}});
  pool.rebuild.active = false;
  pool.rebuild.done_bytes = 1u << 20;
  pool.rebuild.stripes_lost = 2;
  pool.corruptions_found = 3;
  pool.corruptions_repaired = 1;
  CHECK(watch.look(pool, {}) ==
        Lines{{LogLevel::kError, "rebuild ended: 1.00 MiB gone through, 2 stripes lost"},
              {LogLevel::kWarning, "3 corruptions found since the start, 1 repaired"}});
}
