#pragma once
// What a process is in the middle of, as counters. Their owner may keep them in memory that
// outlives the process (daemon/last_words.hpp): then the next start can say in what the last one
// was interrupted.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

namespace square {

enum class Activity : std::uint8_t { kJournal, kDestage, kCleaning, kCheckpoint };
inline constexpr std::array<std::string_view, 4> kActivityNames{"journal", "destage", "cleaning",
                                                                "checkpoint"};

struct Activities {
  std::array<std::atomic<std::uint32_t>, kActivityNames.size()> now{};
};
using ActivitiesPtr = std::shared_ptr<Activities>;

// Counts one while it lives. A coroutine's frame holds it, so it keeps the counters too.
class Busy {
 public:
  Busy(ActivitiesPtr activities, Activity activity)
      : activities_(std::move(activities)), index_(static_cast<std::size_t>(activity)) {
    if (activities_) ++activities_->now[index_];
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() {
    if (activities_) --activities_->now[index_];
  }

 private:
  ActivitiesPtr activities_;
  std::size_t index_;
};

}  // namespace square
