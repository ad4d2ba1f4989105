#pragma once
// What every Loop must do: the real and the simulated one pass the same cases.
//
// A Fixture has:  env::Loop& loop();
//                 void run(Task<void> task);   // runs the loop until the task has ended

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "env/loop.hpp"
#include "env/sync.hpp"

namespace square::conformance {

namespace detail {

// Notes its name when it is resumed.
inline Task<void> note_after_yield(env::Loop& loop, std::vector<std::string>& notes,
                                   std::string name) {
  co_await env::yield(loop);
  notes.push_back(name);
}

inline Task<void> note_after_sleep(env::Loop& loop, std::vector<std::string>& notes,
                                   std::string name, env::BootTime at, bool& early) {
  co_await env::sleep_until(loop, at);
  if (loop.now() < at) early = true;
  notes.push_back(name);
}

}  // namespace detail

template <class Fixture>
void check_post_order(Fixture& fixture) {
  auto& loop = fixture.loop();
  std::vector<int> order;
  const auto body = [&]() -> Task<void> {
    for (int i = 0; i < 1000; ++i) loop.post([&order, i] { order.push_back(i); });
    CHECK(order.empty());  // never inside the call
    co_await env::yield(loop);
    CHECK(order.size() == 1000);
  };
  fixture.run(body());
  REQUIRE(order.size() == 1000);
  for (int i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
}

template <class Fixture>
void check_handles_and_callbacks_share_one_order(Fixture& fixture) {
  auto& loop = fixture.loop();
  std::vector<std::string> notes;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(loop);
    scope.spawn(detail::note_after_yield(loop, notes, "a"));
    scope.spawn(detail::note_after_yield(loop, notes, "b"));
    loop.post([&] { notes.push_back("callback"); });
    co_await scope.join();
  };
  fixture.run(body());
  CHECK(notes == std::vector<std::string>{"callback", "a", "b"});
}

template <class Fixture>
void check_timers(Fixture& fixture) {
  using namespace std::chrono_literals;
  auto& loop = fixture.loop();
  std::vector<std::string> notes;
  bool early = false;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(loop);
    const auto start = loop.now();
    scope.spawn(detail::note_after_sleep(loop, notes, "third", start + 30ms, early));
    scope.spawn(detail::note_after_sleep(loop, notes, "first", start + 10ms, early));
    scope.spawn(detail::note_after_sleep(loop, notes, "second", start + 20ms, early));
    scope.spawn(detail::note_after_sleep(loop, notes, "past", start - 1s, early));
    co_await scope.join();
    CHECK(loop.now() >= start + 30ms);
  };
  fixture.run(body());
  CHECK_FALSE(early);
  CHECK(notes == std::vector<std::string>{"past", "first", "second", "third"});
}

template <class Fixture>
void check_timers_of_one_instant_fire_in_the_order_of_adding(Fixture& fixture) {
  using namespace std::chrono_literals;
  auto& loop = fixture.loop();
  std::vector<int> order;
  const auto body = [&]() -> Task<void> {
    const auto at = loop.now() + 5ms;
    for (int i = 0; i < 50; ++i) loop.add_timer(at, [&order, i] { order.push_back(i); });
    co_await env::sleep_until(loop, at);
  };
  fixture.run(body());
  REQUIRE(order.size() == 50);
  for (int i = 0; i < 50; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
}

template <class Fixture>
void check_cancelled_timers_stay_silent(Fixture& fixture) {
  using namespace std::chrono_literals;
  auto& loop = fixture.loop();
  int fired = 0;
  bool cancelled_fired = false;
  const auto body = [&]() -> Task<void> {
    const auto at = loop.now() + 5ms;
    env::Loop::TimerId second;
    // The first of two timers of the same instant cancels the second.
    const auto first = loop.add_timer(at, [&] {
      ++fired;
      loop.cancel_timer(second);
    });
    second = loop.add_timer(at, [&] { cancelled_fired = true; });
    const auto far = loop.add_timer(loop.now() + 1h, [&] { cancelled_fired = true; });
    loop.cancel_timer(far);
    co_await env::sleep_until(loop, at + 1ms);
    loop.cancel_timer(first);  // has fired: allowed
    loop.cancel_timer(first);
  };
  fixture.run(body());
  CHECK(fired == 1);
  CHECK_FALSE(cancelled_fired);
}

template <class Fixture>
void check_clocks(Fixture& fixture) {
  auto& loop = fixture.loop();
  auto last = loop.now();
  const auto body = [&]() -> Task<void> {
    for (int i = 0; i < 100; ++i) {
      co_await env::yield(loop);
      CHECK(loop.now() >= last);
      last = loop.now();
    }
  };
  fixture.run(body());
  CHECK(loop.wall().ns > 0);
}

template <class Fixture>
void check_offload(Fixture& fixture) {
  auto& loop = fixture.loop();
  const auto body = [&]() -> Task<void> {
    // What the work owned is gone by the time its caller goes on.
    auto owned = std::make_shared<int>(20);
    std::weak_ptr<int> watch = owned;
    const auto sum = co_await env::offload(loop, [owned = std::move(owned)] { return *owned + 1; });
    CHECK(sum == 21);
    CHECK(watch.expired());
    std::vector<int> squares;
    for (int i = 0; i < 20; ++i)
      squares.push_back(co_await env::offload(loop, [i] { return i * i; }));
    for (int i = 0; i < 20; ++i) CHECK(squares[static_cast<std::size_t>(i)] == i * i);
  };
  fixture.run(body());
}

template <class Fixture>
void check_posts_from_other_threads(Fixture& fixture) {
  auto& loop = fixture.loop();
  std::vector<int> order;
  const auto body = [&]() -> Task<void> {
    env::Event all(loop);
    // Joined only after the event: the loop must wake up by itself.
    std::thread other([&] {
      for (int i = 0; i < 100; ++i)
        loop.post_from_any_thread([&, i] {
          order.push_back(i);
          if (i == 99) all.set();
        });
    });
    co_await all.wait();
    other.join();
  };
  fixture.run(body());
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
}

// `threads`: other threads may post while the loop runs (false in a simulation, which has none).
template <class Fixture>
void check_loop(Fixture& fixture, bool threads = true) {
  SECTION("posts run later, in order") { check_post_order(fixture); }
  SECTION("handles and callbacks share one order") {
    check_handles_and_callbacks_share_one_order(fixture);
  }
  SECTION("timers fire in the order of their times, never early") { check_timers(fixture); }
  SECTION("timers of one instant fire in the order of adding") {
    check_timers_of_one_instant_fire_in_the_order_of_adding(fixture);
  }
  SECTION("cancelled timers stay silent") { check_cancelled_timers_stay_silent(fixture); }
  SECTION("the clock never goes back") { check_clocks(fixture); }
  SECTION("offloaded work gives its value, and lets go of what it owned") {
    check_offload(fixture);
  }
  if (threads) {
    SECTION("posts from other threads wake the loop") { check_posts_from_other_threads(fixture); }
  }
}

}  // namespace square::conformance
