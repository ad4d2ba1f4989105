#include "env/sync.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace std::chrono_literals;
using sim::CrashKind;

namespace {

struct Sim {
  sim::SimWorld world{1};
  sim::SimProcess& node = world.add_process("n1");
  env::Loop& loop() { return node.loop(); }
};

Task<void> wait_for(env::Event& event, std::vector<int>& order, int name) {
  co_await event.wait();
  order.push_back(name);
}

Task<void> take(env::Loop& loop, env::Budget& budget, std::uint64_t units, std::vector<int>& order,
                int name) {
  co_await budget.acquire(units);
  order.push_back(name);
  co_await env::sleep_for(loop, 1ms);
  budget.release(units);
}

Task<void> lock_and_note(env::Loop& loop, env::Mutex& mutex, int& inside, int& worst) {
  const auto lock = co_await mutex.lock();
  worst = std::max(worst, ++inside);
  co_await env::sleep_for(loop, 1ms);
  --inside;
}

Task<void> hold(std::shared_ptr<int> held, env::Event& never) {
  co_await never.wait();
  *held = 1;
}

}  // namespace

TEST_CASE("an event wakes all waiters in the order of waiting, and stays set") {
  Sim sim;
  std::vector<int> order;
  env::Event event(sim.loop());
  env::Scope scope(sim.loop());
  const auto body = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) scope.spawn(wait_for(event, order, i));
    co_await env::sleep_for(sim.loop(), 1ms);
    CHECK(order.empty());
    event.set();
    CHECK(order.empty());  // through the loop, not inside the call
    co_await scope.join();
    CHECK(order == std::vector<int>{0, 1, 2});
    co_await event.wait();
    event.reset();
    scope.spawn(wait_for(event, order, 3));
    co_await env::sleep_for(sim.loop(), 1ms);
    CHECK(order.size() == 3);
    event.pulse();
    CHECK_FALSE(event.is_set());
    co_await scope.join();
    CHECK(order.size() == 4);
  };
  sim.node.run(body());
}

TEST_CASE("a large request to a budget is not starved by small ones behind it") {
  Sim sim;
  std::vector<int> order;
  env::Budget budget(sim.loop(), 10);
  env::Scope scope(sim.loop());
  const auto body = [&]() -> Task<void> {
    scope.spawn(take(sim.loop(), budget, 6, order, 0));
    scope.spawn(take(sim.loop(), budget, 10, order, 1));
    scope.spawn(take(sim.loop(), budget, 1, order, 2));
    scope.spawn(take(sim.loop(), budget, 9, order, 3));
    co_await env::sleep_for(sim.loop(), 500us);
    CHECK(order == std::vector<int>{0});
    CHECK(budget.waiting() == 3);
    CHECK_FALSE(budget.try_acquire(1));  // four are free, but others were first
    CHECK(budget.used() == 6);
    co_await scope.join();
    CHECK(order == std::vector<int>{0, 1, 2, 3});
    CHECK(budget.used() == 0);
  };
  sim.node.run(body());
}

TEST_CASE("a mutex lets one in at a time") {
  Sim sim;
  int inside = 0, worst = 0;
  env::Mutex mutex(sim.loop());
  env::Scope scope(sim.loop());
  const auto body = [&]() -> Task<void> {
    for (int i = 0; i < 5; ++i) scope.spawn(lock_and_note(sim.loop(), mutex, inside, worst));
    co_await scope.join();
  };
  sim.node.run(body());
  CHECK(inside == 0);
  CHECK(worst == 1);
}

TEST_CASE("a scope is joined when its last task has ended, also one spawned meanwhile") {
  Sim sim;
  std::vector<int> order;
  env::Event event(sim.loop());
  env::Scope scope(sim.loop());
  const auto spawner = [&]() -> Task<void> {
    scope.spawn(wait_for(event, order, 1));
    co_return;
  };
  const auto body = [&]() -> Task<void> {
    co_await scope.join();  // nothing to wait for
    scope.spawn(spawner());
    sim.loop().add_timer(sim.loop().now() + 1ms, [&] { event.set(); });
    co_await scope.join();
    CHECK(order == std::vector<int>{1});
    CHECK(scope.size() == 0);
  };
  sim.node.run(body());
}

TEST_CASE("a crash leaves unfinished tasks to their owners, which destroy them") {
  Sim sim;
  const auto held = std::make_shared<int>(0);
  {
    env::Event never(sim.loop());
    env::Budget budget(sim.loop(), 1);
    std::vector<int> order;
    env::Scope scope(sim.loop());
    scope.spawn(hold(held, never));
    scope.spawn(take(sim.loop(), budget, 1, order, 0));
    scope.spawn(take(sim.loop(), budget, 1, order, 1));
    scope.spawn(hold(held, never));
    sim.world.run_for(100us);
    scope.spawn(hold(held, never));  // posted, never begun
    CHECK(held.use_count() == 4);
    sim.node.crash(CrashKind::kKill);
    CHECK(sim.loop().ending());
    never.set();
    sim.world.run_for(1s);
    CHECK(*held == 0);
  }
  CHECK(held.use_count() == 1);
  sim.node.restart();
  CHECK_FALSE(sim.loop().ending());
}
