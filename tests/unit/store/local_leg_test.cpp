// Direct writes: from the stripe to the acknowledgement.

#include "engine_fixture.hpp"

using namespace square;
using namespace square::store;
using store::test::OneEngine;
using store::test::pattern;

namespace {

Task<void> note_when_done(Async<> write, std::optional<Result<>>& out, sim::SimWorld& world,
                          std::int64_t& at_ns) {
  out = co_await write;
  at_ns = world.now_ns();
}

}  // namespace

// docs/protocol.md, section 2: the members are looked at again when the record is durable.
TEST_CASE("a direct stripe that loses a member before the acknowledgement is written anew") {
  sim::NodeShape shape;
  shape.k = 2;
  shape.m = 2;
  shape.spares = 0;
  shape.direct_bytes_min = 64u << 10;
  bool between = false;
  for (int pause = 0; pause < 40; ++pause) {
    OneEngine t(shape);
    const auto data = pattern(64u << 10, 7);  // one stripe, then its record
    const auto flushed_before = t.pool().status().written_data_bytes;
    std::optional<Result<>> done;
    env::Scope scope(t.node.process().loop());
    std::int64_t answered_ns = 0;
    scope.spawn(note_when_done(t.begin_write(0, data), done, t.world, answered_ns));
    while (!done && t.pool().status().written_data_bytes == flushed_before)
      t.world.run_for(std::chrono::microseconds(20));
    t.world.run_for(std::chrono::microseconds(50 * pause));
    const bool early = !done;
    const auto lost_ns = t.world.now_ns();
    // A member goes while stripe or record is under way.
    REQUIRE(t.run(t.pool().fail_disk(Slot(1), "a test")).ok());
    while (!done) t.world.run_for(std::chrono::microseconds(100));
    REQUIRE(done->ok());
    while (scope.size() > 0) t.world.run_for(std::chrono::microseconds(100));
    if (!early) break;
    // The last look was before the loss, and the answer was on its way already.
    if (answered_ns < lost_ns + 20'000) continue;
    between = true;
    // It was acknowledged after that loss: any two further disks may go.
    t.node.medium(0).set_vanished(true);
    t.node.medium(3).set_vanished(true);
    REQUIRE(t.run(t.pool().reconcile()).ok());
    INFO("after " << 50 * pause << " us");
    REQUIRE(t.reads_as(0, data));
  }
  CHECK(between);
}
