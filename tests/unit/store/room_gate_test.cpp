// Writers that wait for room.
#include "store/room_gate.hpp"

#include <catch2/catch.hpp>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace std::chrono_literals;

namespace {

struct Gate {
  sim::SimWorld world{1};
  sim::SimProcess& process = world.add_process("n1");
  env::Loop& loop = process.loop();
  store::RoomGate gate{loop};
  env::Scope scope{loop};
  std::uint64_t room = 0;
  int waits = 0;
  std::vector<std::pair<int, Result<>>> ended;

  Gate() {
    gate.set_fits([this](std::uint64_t bytes) { return gate.promised() + bytes <= room; });
  }
  void come(int who, std::uint64_t bytes) {
    scope.spawn(enter(who, bytes));
    world.run_for(1ms);
  }
  Task<void> enter(int who, std::uint64_t bytes) {
    auto result = co_await gate.enter(bytes, [this] { ++waits; });
    ended.emplace_back(who, std::move(result));
  }
  void settle() { world.run_for(1ms); }
  std::vector<int> let_in() const {
    std::vector<int> in;
    for (const auto& [who, result] : ended)
      if (result.ok()) in.push_back(who);
    return in;
  }
};

const Error kFull{Code::kNoSpace, "full"};

}  // namespace

TEST_CASE("writers that wait for room get it in the order in which they came") {
  Gate t;
  t.room = 10;
  t.come(1, 8);
  t.come(2, 8);
  t.come(3, 1);  // would fit, but is not first
  CHECK(t.let_in() == std::vector{1});
  CHECK(t.waits == 2);
  t.gate.entered(8);  // counted elsewhere now
  t.room = 8;
  t.gate.let_in();
  t.settle();
  CHECK(t.let_in() == std::vector{1, 2});
  t.room = 9;
  t.gate.let_in();
  t.settle();
  CHECK(t.let_in() == std::vector{1, 2, 3});
  CHECK(t.gate.promised() == 9);
}

TEST_CASE("when no more room comes, what fits is let in and the rest is refused") {
  Gate t;
  t.come(1, 8);
  t.come(2, 1);
  t.room = 2;
  t.gate.refuse_unfit(kFull);
  t.settle();
  CHECK(t.let_in() == std::vector{2});
  REQUIRE(t.ended.size() == 2);
  CHECK(t.gate.waiting() == 0);
  CHECK(t.gate.promised() == 1);
}

TEST_CASE("who has waited too long for room is refused, and who came later goes on waiting") {
  Gate t;
  t.come(1, 8);
  t.world.run_for(10s);
  t.come(2, 8);
  t.gate.refuse_since(t.loop.now() - 5s, kFull);
  t.settle();
  REQUIRE(t.ended.size() == 1);
  CHECK(t.ended[0].first == 1);
  CHECK(t.ended[0].second.code() == Code::kNoSpace);
  t.room = 8;
  t.gate.let_in();
  t.settle();
  CHECK(t.let_in() == std::vector{2});
}

TEST_CASE("a gate that closes refuses those that wait and those that come") {
  Gate t;
  t.come(1, 8);
  t.gate.close({Code::kUnavailable, "stopping"});
  t.room = 100;
  t.come(2, 8);
  REQUIRE(t.ended.size() == 2);
  CHECK(t.ended[0].second.code() == Code::kUnavailable);
  CHECK(t.ended[1].second.code() == Code::kUnavailable);
}
