#pragma once
// Appends that wait for a batch: in the order of the calls, but whoever waits for room holds up
// only those with the same or a shallower reserve.

#include <array>
#include <deque>
#include <memory>

#include "env/sync.hpp"
#include "journal/lane.hpp"

namespace square::journal {

struct Append {
  Append(env::Loop& loop, BufferChain bytes, Reserve level)
      : record(std::move(bytes)), size(total_size(record)), reserve(level), done(loop) {}
  BufferChain record;
  std::uint64_t size;
  Reserve reserve;
  std::uint64_t number = 0;
  std::uint64_t asks_bytes = 0;      // of the ring, for a record that comes later; carries none
  std::uint64_t promised_bytes = 0;  // of the ring, given to this record before
  Result<LanePosition> result{LanePosition()};
  env::Event done;
};
using AppendPtr = std::shared_ptr<Append>;

class AppendQueue {
 public:
  static constexpr int kNoneBlocked = -1;

  void push(AppendPtr append) {
    append->number = ++number_;
    auto& queue = queues_[static_cast<std::size_t>(append->reserve)];
    queue.push_back(std::move(append));
  }
  // The oldest whose reserve is deeper than `blocked`; nothing when there is none.
  Append* front(int blocked) const {
    Append* oldest = nullptr;
    for (auto level = static_cast<std::size_t>(blocked + 1); level < queues_.size(); ++level) {
      if (queues_[level].empty()) continue;
      auto* const append = queues_[level].front().get();
      if (oldest == nullptr || append->number < oldest->number) oldest = append;
    }
    return oldest;
  }
  AppendPtr take(const Append& append) {
    auto& queue = queues_[static_cast<std::size_t>(append.reserve)];
    auto taken = std::move(queue.front());
    queue.pop_front();
    return taken;
  }
  bool empty() const { return front(kNoneBlocked) == nullptr; }

 private:
  std::array<std::deque<AppendPtr>, 5> queues_;
  std::uint64_t number_ = 0;
};

}  // namespace square::journal
