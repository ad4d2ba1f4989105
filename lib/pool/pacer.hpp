#pragma once
// The pace of what runs behind clients over the disks: free while they are idle, held back to a
// floor while they are not.

#include <functional>

#include "env/sync.hpp"
#include "pool/pool.hpp"

namespace square::pool {

class Pacer {
 public:
  explicit Pacer(env::Loop& loop) : loop_(loop) {}

  // One pass. Starts where begin() says.
  struct Pass {
    env::BootTime began, free_at, busy_until;
    std::uint64_t client_calls = 0;
  };
  Pass begin() const { return {loop_.now(), loop_.now(), {}, client_calls}; }
  // Before so many bytes are read of each disk; the floor is divided by `share`. Returns at once
  // when `over` says so. Says in `status` what it is held to.
  Task<void> hold_back(Pass* pass, std::uint64_t bytes, std::uint64_t share, RepairStatus* status,
                       std::function<bool()> over);
  // With what follows from the time since it began.
  RepairStatus estimate(const Pass& pass, RepairStatus status) const;

  RepairPace pace;
  std::uint64_t client_calls = 0;  // raised by the pool: are clients at work?

 private:
  env::Loop& loop_;
};

}  // namespace square::pool
