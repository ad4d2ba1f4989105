#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "conformance/loop_conformance.hpp"
#include "unit/env/real_fixture.hpp"

using namespace square;
using namespace std::chrono_literals;

TEST_CASE("the real loop keeps the contract of loops", "[threads]") {
  test::RealFixture fixture;
  conformance::check_loop(fixture);
}

TEST_CASE("the real loop keeps the contract of loops when it spins", "[threads]") {
  test::RealFixture fixture(env::AsioLoopOptions{.ready_per_turn_max = 1, .spin_max = 50us});
  conformance::check_loop(fixture);
}

TEST_CASE("a loop that was stopped before it ran returns at once, and runs again", "[threads]") {
  env::AsioLoop loop;
  loop.stop();
  loop.run();
  int ran = 0;
  loop.post([&] {
    ++ran;
    loop.stop();
  });
  loop.run();
  CHECK(ran == 1);
}

TEST_CASE("another thread may stop the loop", "[threads]") {
  env::AsioLoop loop;
  std::thread other([&] { loop.stop(); });
  loop.run();
  other.join();
}

TEST_CASE("a loop that is ending runs nothing that was posted", "[threads]") {
  int ran = 0;
  {
    env::AsioLoop loop;
    loop.post([&] { ++ran; });
    loop.begin_ending();
    CHECK(loop.ending());
    loop.post([&] { ++ran; });
    loop.post_from_any_thread([&] { ++ran; });
    loop.stop();
    loop.run();
  }
  CHECK(ran == 0);
}

TEST_CASE("work on helpers ends before the loop does, and its end may go unheard", "[threads]") {
  std::atomic<bool> worked{false};
  bool heard = false;
  {
    env::AsioLoop loop;
    std::atomic<bool> started{false};
    loop.run_on_helper(
        [&] {
          started = true;
          started.notify_one();
          worked = true;
        },
        [&] { heard = true; });
    started.wait(false);
  }
  CHECK(worked);
  CHECK_FALSE(heard);
}

TEST_CASE("signals call back from the loop, each time", "[threads]") {
  env::AsioLoop loop;
  int hangups = 0;
  loop.on_signal(SIGHUP, [&] {
    if (++hangups == 2)
      loop.stop();
    else
      ::kill(::getpid(), SIGHUP);
  });
  loop.post([] { ::kill(::getpid(), SIGHUP); });
  loop.run();
  CHECK(hangups == 2);
}

TEST_CASE("a busy queue does not starve timers", "[threads]") {
  env::AsioLoop loop;
  bool fired = false;
  std::function<void()> again = [&] {
    if (!fired) loop.post(again);
  };
  again();
  loop.add_timer(loop.now() + 2ms, [&] {
    fired = true;
    loop.stop();
  });
  loop.run();
  CHECK(fired);
}
