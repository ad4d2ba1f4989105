#include "store/range_lock.hpp"

#include <catch2/catch.hpp>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace square::store;
using Mode = RangeLocks::Mode;

namespace {

struct Locks {
  Locks() : world(1), node(world.add_process("n1")), locks(node.loop()), scope(node.loop()) {}
  ~Locks() {
    go.set();
    node.run(join());
  }
  Task<void> join() { co_await scope.join(); }
  // Takes the lock, notes its name, and holds it until `go`.
  Task<void> hold(std::string name, std::uint64_t block, std::uint64_t blocks, Mode mode,
                  env::Event* until) {
    const auto lock =
        co_await locks.lock(VolumeId(1), block * kBlockBytes, blocks * kBlockBytes, mode);
    taken.push_back(name);
    co_await until->wait();
  }
  void start(std::string name, std::uint64_t block, std::uint64_t blocks, Mode mode,
             env::Event& until) {
    scope.spawn(hold(std::move(name), block, blocks, mode, &until));
    world.run_for(std::chrono::milliseconds(1));
  }
  sim::SimWorld world;
  sim::SimProcess& node;
  RangeLocks locks;
  std::vector<std::string> taken;
  env::Event go{node.loop()};
  env::Scope scope;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("whole-block requests overlap each other freely") {
  Locks t;
  t.start("a", 0, 4, Mode::kShared, t.go);
  t.start("b", 2, 4, Mode::kShared, t.go);
  CHECK(t.taken == Names{"a", "b"});
}

TEST_CASE("a request that merges waits for its blocks alone, and others wait for it") {
  Locks t;
  env::Event first(t.node.loop()), second(t.node.loop());
  t.start("write", 0, 4, Mode::kShared, first);
  t.start("merge", 3, 1, Mode::kAlone, second);
  t.start("later", 3, 1, Mode::kShared, t.go);
  t.start("elsewhere", 8, 1, Mode::kAlone, t.go);
  CHECK(t.taken == Names{"write", "elsewhere"});
  first.set();
  t.world.run_for(std::chrono::milliseconds(1));
  CHECK(t.taken == Names{"write", "elsewhere", "merge"});
  second.set();
  t.world.run_for(std::chrono::milliseconds(1));
  CHECK(t.taken == Names{"write", "elsewhere", "merge", "later"});
}

TEST_CASE("a range is widened to whole blocks: two parts of one block exclude each other") {
  Locks t;
  env::Event first(t.node.loop());
  t.start("a", 0, 1, Mode::kAlone, first);
  t.scope.spawn(t.hold("b", 0, 1, Mode::kAlone, &t.go));
  t.world.run_for(std::chrono::milliseconds(1));
  CHECK(t.taken == Names{"a"});
  first.set();
  t.world.run_for(std::chrono::milliseconds(1));
  CHECK(t.taken == Names{"a", "b"});
}
