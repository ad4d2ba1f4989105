#pragma once

#include "env/real/asio_loop.hpp"
#include "env/sync.hpp"

namespace square::test {

// Runs tasks on a real loop, one after the other.
class RealFixture {
 public:
  explicit RealFixture(env::AsioLoopOptions options = {}) : loop_(options) {}
  env::AsioLoop& loop() { return loop_; }
  void run(Task<void> task) {
    env::Scope scope(loop_);
    scope.spawn(stop_after(loop_, std::move(task)));
    loop_.run();
    SQ_CHECK(scope.size() == 0);
  }

 private:
  static Task<void> stop_after(env::AsioLoop& loop, Task<void> task) {
    co_await task;
    loop.stop();
  }

  env::AsioLoop loop_;
};

}  // namespace square::test
