#include "base/task.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "sim/env/sim_process.hpp"

using namespace square;

namespace {

Async<int> half(int value) {
  if (value % 2 != 0) co_return Error{Code::kInvalid, "odd"};
  co_return value / 2;
}

Async<int> quarter(int value) {
  SQ_CO_TRY(const auto first, co_await half(value));
  SQ_CO_TRY(const auto second, co_await half(first));
  co_return second;
}

Async<> check_quarter(int value) {
  SQ_CO_TRY(co_await quarter(value));
  co_return {};
}

Task<void> mark(bool& started) {
  started = true;
  co_return;
}

Task<int> sum_to(int value) {  // as deep as the stack would never allow
  int sum = 0;
  for (int i = 1; i <= value; ++i) {
    const auto got = co_await half(2 * i);
    sum += *got;
  }
  co_return sum;
}

Task<void> keep(std::shared_ptr<int> held, env::Event& never) {
  co_await never.wait();
  *held = 1;
}

Task<void> outer(std::shared_ptr<int> held, env::Event& never) { co_await keep(held, never); }

}  // namespace

TEST_CASE("a task is lazy, and a task that never started can be dropped") {
  bool started = false;
  {
    const auto task = mark(started);
  }
  CHECK_FALSE(started);
}

TEST_CASE("an error in a coroutine ends it and its awaiters, with its code") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  CHECK(*node.run(quarter(12)) == 3);
  const auto failed = node.run(quarter(6));
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.code() == Code::kInvalid);
  CHECK(node.run(check_quarter(8)).ok());
  CHECK(node.run(check_quarter(2)).code() == Code::kInvalid);
}

TEST_CASE("a loop of awaits does not grow the stack") {
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  CHECK(node.run(sum_to(20000)) == 200010000);
}

TEST_CASE("destroying a task destroys the frames that it awaits") {
  const auto held = std::make_shared<int>(0);
  sim::SimWorld world(1);
  auto& node = world.add_process("n1");
  {
    env::Event never(node.loop());
    node.loop().add_timer(node.loop().now() + std::chrono::milliseconds(1),
                          [&] { node.crash(sim::CrashKind::kKill); });
    CHECK_FALSE(node.run_or_crash(outer(held, never)));
  }
  CHECK(held.use_count() == 1);
  CHECK(*held == 0);
}
