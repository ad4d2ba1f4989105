#include "access/replacement.hpp"

#include "access/operations.hpp"
#include "unit/pool/pool_fixture.hpp"

using namespace square;
using namespace square::access;
using format::LongOperation;
using format::LongOperationState;
using pool::DiskState;
using pool::test::Cluster;
using pool::test::Shape;

namespace {

DiskId disk_id(std::uint8_t number) {
  DiskId id;
  id.uuid.bytes.fill(number);
  return id;
}

// Slot 1 of three, whose disk is 1 as long as nothing has happened.
struct Look {
  Look() : disks(3) {
    for (std::uint8_t i = 0; i < 3; ++i) {
      disks[i].id = disk_id(i);
      disks[i].path = "/dev/d" + std::to_string(i);
      disks[i].state = DiskState::kMember;
    }
    pool.retirement.slot = Slot(1);
    pool.retirement.from = disk_id(1);
    pool.retirement.pass.active = true;
    pool.retirement.pass.done_bytes = 5;
    pool.retirement.pass.total_bytes = 9;
  }
  LongOperation now() const {
    LongOperation o;
    o.slot = Slot(1);
    o.disk = disk_id(1);
    return replacement_now(o, pool, disks, 77);
  }
  void slot_is(std::uint8_t disk, DiskState state) {
    disks[1].id = disk_id(disk);
    disks[1].state = state;
  }
  pool::PoolStatus pool;
  std::vector<pool::DiskStatus> disks;
};

// A pool and the list of operations of its node.
struct Bench {
  explicit Bench(int spares) : t(Shape{4, 2, spares}) {
    t.ready();
    REQUIRE(t.node.files().make_folder("/state").ok());
    for (int i = 0; i < 40; ++i) REQUIRE(t.store({50'000, 9'000, 70'000}).ok());
    REQUIRE(t.checkpoint(1, {1}).ok());
    open();
  }
  void open() {
    operations.emplace(
        t.node.env(), *t.pool, "/state/operations",
        [this](LogLevel, std::string_view line) { log += std::string(line) + "\n"; });
    operations->open();
  }
  Result<LongOperation> start(std::string_view kind, std::uint16_t slot) {
    return operations->start_replacement(kind, Slot(slot), std::nullopt);
  }
  void slow() { t.pool->set_repair_pace({1u << 20, 1u << 20}); }
  LongOperation state(const std::string& id) { return operations->find(id).value(); }
  void run(int tenths) {
    for (int i = 0; i < tenths; ++i) {
      t.world.run_for(std::chrono::milliseconds(100));
      REQUIRE(t.node.run(t.pool->reconcile()).ok());
      operations->look();
      operations->follow_schedule();
    }
  }
  void run_until_ended(const std::string& id) {
    for (int i = 0; i < 1000 && state(id).state == LongOperationState::kRunning; ++i) run(1);
    REQUIRE(state(id).state != LongOperationState::kRunning);
  }
  void restart() {
    operations.reset();
    t.crash();
    t.reopen();
    open();
  }

  Cluster t;
  std::string log;
  std::optional<Operations> operations;
};

}  // namespace

TEST_CASE("a replacement is done when another disk has the slot and is whole") {
  Look look;
  CHECK(look.now().state == LongOperationState::kRunning);
  CHECK(look.now().done_bytes == 5);
  CHECK(look.now().total_bytes == 9);
  look.slot_is(7, DiskState::kRebuilding);
  look.pool.rebuild.done_bytes = 3;
  CHECK(look.now().state == LongOperationState::kRunning);
  CHECK(look.now().done_bytes == 3);
  look.slot_is(7, DiskState::kMember);
  CHECK(look.now().state == LongOperationState::kDone);
  CHECK(look.now().ended_wall_ns == 77);
  CHECK(look.now().message == "slot 1 is /dev/d1 now; the disk that had it may be pulled");
}

TEST_CASE("a replacement has failed when the disk stays, no spare is there, or that fails too") {
  Look look;
  look.pool.retirement.pass.active = false;
  look.pool.retirement.why = "/dev/d8 failed: write";
  CHECK(look.now().state == LongOperationState::kFailed);
  CHECK(look.now().message == "slot 1 stays as it was: /dev/d8 failed: write");
  look.slot_is(1, DiskState::kFailed);
  CHECK(look.now().state == LongOperationState::kFailed);
  CHECK(look.now().message.find("square disk add") != std::string::npos);
  look.pool.spares_free = 1;
  CHECK(look.now().state == LongOperationState::kRunning);
  look.slot_is(7, DiskState::kFailed);
  CHECK(look.now().state == LongOperationState::kFailed);
  look.disks.resize(1);
  CHECK(look.now().state == LongOperationState::kFailed);
}

TEST_CASE("a disk is retired by an operation, and a scrub proves what was copied") {
  Bench b(1);
  const auto begun = b.start(kRetire, 3);
  REQUIRE(begun.ok());
  CHECK(begun->id.starts_with("retire-"));
  CHECK(b.start(kReplace, 2).code() == Code::kBusy);
  b.run_until_ended(begun->id);
  CHECK(b.state(begun->id).state == LongOperationState::kDone);
  CHECK(b.state(begun->id).message == "slot 3 is /dev/d6 now; the disk that had it may be pulled");
  CHECK(b.state(begun->id).done_bytes == b.state(begun->id).total_bytes);
  b.run(600);
  REQUIRE(b.operations->list().size() == 2);
  CHECK(b.operations->list()[1].kind == "scrub");
  CHECK(b.operations->list()[1].message == "clean");
  CHECK(b.start(kRetire, 3).code() == Code::kConflict);  // no spare is left
  CHECK(b.start(kRetire, 6).code() == Code::kNotFound);
  CHECK(b.operations->list().size() == 2);
}

TEST_CASE("a retirement begins again after a crash of the node, under the same id") {
  Bench b(1);
  b.slow();
  const auto id = b.start(kRetire, 3)->id;
  b.run(20);
  b.restart();
  CHECK(b.log.find(id + " goes on after a restart") != std::string::npos);
  CHECK(b.state(id).restarts == 1);
  b.run_until_ended(id);
  CHECK(b.state(id).state == LongOperationState::kDone);
  CHECK(b.t.disk(6).slot == Slot(3));
  CHECK(b.t.unreadable() == 0);
}

TEST_CASE("a cancelled retirement leaves the disk where it is") {
  Bench b(1);
  b.slow();
  const auto id = b.start(kRetire, 3)->id;
  b.run(5);
  REQUIRE(b.operations->cancel(id).ok());
  b.run(5);
  CHECK(b.state(id).state == LongOperationState::kCancelled);
  CHECK(b.t.disk(3).state == DiskState::kMember);
  CHECK(b.t.pool->status().spares_free == 1);
  b.restart();
  CHECK(b.state(id).state == LongOperationState::kCancelled);
  CHECK_FALSE(b.t.pool->status().retirement.pass.active);
}

TEST_CASE("an empty slot is replaced by a rebuild, and only retired where there is a disk") {
  Bench b(0);
  b.t.vanish(2);
  b.run(20);
  CHECK(b.start(kRetire, 2).code() == Code::kConflict);
  CHECK(b.start(kReplace, 2).code() == Code::kConflict);  // no spare
  b.t.node.disks().add("/dev/new", b.t.shape.disk_bytes);
  REQUIRE(b.t.node.run(b.t.pool->add_disk("/dev/new")).ok());
  const auto begun = b.start(kReplace, 2);
  REQUIRE(begun.ok());
  b.run_until_ended(begun->id);
  CHECK(b.state(begun->id).message == "slot 2 is /dev/new now; the disk that had it may be pulled");
  CHECK(b.t.unreadable() == 0);
}
