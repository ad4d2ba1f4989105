#include "store/range_lock.hpp"

namespace square::store {

struct RangeLocks::Wait {
  RangeLocks& locks;
  Requests::iterator self;
  bool await_ready() {
    self->granted = locks.grantable(self);
    return self->granted;
  }
  void await_suspend(std::coroutine_handle<> h) { self->waiter = h; }
  void await_resume() const noexcept {}
};

// Nobody who came earlier, holding or waiting, conflicts.
bool RangeLocks::grantable(Requests::iterator request) {
  for (auto it = requests_.begin(); it != request; ++it)
    if (conflict(*it, *request)) return false;
  return true;
}

Task<RangeLocks::Lock> RangeLocks::lock(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                                        Mode mode) {
  const auto begin = offset / kBlockBytes * kBlockBytes;
  const auto end = align_up(offset + length, kBlockBytes);
  const auto self = requests_.insert(requests_.end(), Request{volume, begin, end, mode, false, {}});
  Lock lock(*this, self);
  Wait wait{*this, self};
  co_await wait;
  co_return lock;
}

void RangeLocks::release(Requests::iterator request) {
  const auto gone = *request;
  auto later = requests_.erase(request);
  for (; later != requests_.end(); ++later) {
    if (later->granted || !conflict(gone, *later) || !grantable(later)) continue;
    later->granted = true;
    loop_.post(later->waiter);
  }
}

}  // namespace square::store
