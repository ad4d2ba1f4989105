#include <catch2/catch.hpp>
#include <optional>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace std::chrono_literals;
using sim::CrashKind;

namespace {

using Connection = std::unique_ptr<env::Connection>;

// "a" is connected to "b", which listens.
struct TwoNodes {
  TwoNodes() {
    listener = b.transport().listen("b:1").value();
    near = a.run(a.transport().connect("b:1", 1s)).value();
    far = b.run(listener->accept()).value();
  }
  Task<void> listen_to(std::optional<Result<std::size_t>>& into, env::Connection& connection) {
    into = co_await connection.read_some(space);
  }
  Result<> say(const char* text) {
    BufferChain chain{Buffer::copy_of(as_bytes(text))};
    return a.run(near->write(std::move(chain)));
  }
  sim::SimWorld world{1};
  sim::SimProcess& a = world.add_process("a");
  sim::SimProcess& b = world.add_process("b");
  ByteVector space = ByteVector(100);
  std::unique_ptr<env::Listener> listener;
  Connection near, far;
};

}  // namespace

TEST_CASE("each end knows whom it speaks to") {
  TwoNodes t;
  CHECK(t.near->peer().subject == "node/b");
  CHECK(t.far->peer().subject == "node/a");
  CHECK(t.b.transport().listen("b:1").code() == Code::kBusy);
  CHECK(t.b.transport().listen("b").code() == Code::kInvalid);
}

TEST_CASE("a link that is cut one way holds what is sent until it is healed") {
  TwoNodes t;
  std::optional<Result<std::size_t>> got;
  env::Scope scope(t.b.loop());
  scope.spawn(t.listen_to(got, *t.far));
  t.world.net().cut("a", "b");
  REQUIRE(t.say("late").ok());
  t.world.run_for(10s);
  CHECK_FALSE(got.has_value());
  t.world.net().heal("a", "b");
  t.world.run_for(1s);
  REQUIRE(got.has_value());
  CHECK(**got == 4);
  t.b.run([](env::Scope& on) -> Task<void> { co_await on.join(); }(scope));
}

TEST_CASE("a reset ends both sides") {
  TwoNodes t;
  t.world.net().reset("b", "a");
  CHECK(t.a.run(t.near->read_some(t.space)).code() == Code::kUnavailable);
  CHECK(t.b.run(t.far->read_some(t.space)).code() == Code::kUnavailable);
  CHECK(t.say("x").code() == Code::kUnavailable);
  CHECK(t.world.net().resets() == 1);
}

TEST_CASE("delay is added to the link, and to one direction only") {
  TwoNodes t;
  t.world.net().set_extra_delay("a", "b", 5s);
  const auto before = t.world.now_ns();
  REQUIRE(t.say("x").ok());
  CHECK(*t.b.run(t.far->read_some(t.space)) == 1);
  CHECK(t.world.now_ns() - before >= 5'000'000'000);
}

TEST_CASE("a writer waits once the window is full, and goes on when the reader has read") {
  TwoNodes t;
  bool written = false;
  const auto writer = [&]() -> Task<void> {
    BufferChain chain{Buffer::zeroed(3u << 20)};
    const auto result = co_await t.near->write(std::move(chain));
    CHECK(result.ok());
    written = true;
  };
  env::Scope scope(t.a.loop());
  scope.spawn(writer());
  t.world.run_for(10s);
  CHECK_FALSE(written);
  std::size_t total = 0;
  ByteVector space(1u << 20);
  while (total < 3u << 20) total += *t.b.run(t.far->read_some(space));
  t.a.run([](env::Scope& on) -> Task<void> { co_await on.join(); }(scope));
  CHECK(written);
}

TEST_CASE("a killed process resets its streams, one without power says nothing until it is back") {
  TwoNodes t;
  const bool killed = GENERATE(true, false);
  std::optional<Result<std::size_t>> got;
  env::Scope scope(t.a.loop());
  scope.spawn(t.listen_to(got, *t.near));
  t.b.crash(killed ? CrashKind::kKill : CrashKind::kPowerLoss);
  t.far.reset();
  t.listener.reset();
  t.world.run_for(60s);
  CHECK(got.has_value() == killed);
  const auto refused = t.a.run(t.a.transport().connect("b:1", 1s));
  CHECK(refused.code() == (killed ? Code::kUnavailable : Code::kTimeout));
  t.b.restart();
  if (!killed) {
    REQUIRE(t.say("are you there?").ok());
    t.world.run_for(1s);
  }
  REQUIRE(got.has_value());
  CHECK(got->code() == Code::kUnavailable);
  t.a.run([](env::Scope& on) -> Task<void> { co_await on.join(); }(scope));
}

TEST_CASE("a world may end with streams open and packets under way") {
  TwoNodes t;
  REQUIRE(t.say("never read").ok());
  t.world.net().cut("b", "a");
  t.far->close();
}
