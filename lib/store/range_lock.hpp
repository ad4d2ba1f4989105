#pragma once
// Order among requests on the same blocks of a volume. A request that must read before it writes
// (it covers a block only in part) needs its blocks alone, from before its read until its write is
// visible; whole-block requests may overlap each other, for the log orders them.
//
//   auto lock = co_await locks.lock(volume, offset, length, RangeLock::Mode::kAlone);

#include <list>

#include "base/bytes.hpp"
#include "env/sync.hpp"

namespace square::store {

class RangeLocks {
 public:
  enum class Mode : std::uint8_t { kShared, kAlone };

  explicit RangeLocks(env::Loop& loop) : loop_(loop) {}
  RangeLocks(const RangeLocks&) = delete;

 private:
  struct Request {
    VolumeId volume;
    std::uint64_t begin = 0, end = 0;  // block-aligned
    Mode mode = Mode::kShared;
    bool granted = false;
    std::coroutine_handle<> waiter;
  };
  using Requests = std::list<Request>;  // in order of arrival

 public:
  // Released when destroyed.
  class Lock {
   public:
    Lock() = default;
    Lock(RangeLocks& owner, Requests::iterator self) : owner_(&owner), self_(self) {}
    Lock(Lock&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), self_(other.self_) {}
    Lock& operator=(Lock&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(self_, other.self_);
      return *this;
    }
    ~Lock() {
      if (owner_ != nullptr) owner_->release(self_);
    }

   private:
    RangeLocks* owner_ = nullptr;
    Requests::iterator self_;
  };

  // First come, first served among requests that conflict. The range is widened to whole blocks.
  Task<Lock> lock(VolumeId volume, std::uint64_t offset, std::uint64_t length, Mode mode);

 private:
  struct Wait;
  static bool conflict(const Request& a, const Request& b) {
    return a.volume == b.volume && a.begin < b.end && b.begin < a.end &&
           (a.mode == Mode::kAlone || b.mode == Mode::kAlone);
  }
  bool grantable(Requests::iterator request);
  void release(Requests::iterator request);

  env::Loop& loop_;
  Requests requests_;
};

}  // namespace square::store
