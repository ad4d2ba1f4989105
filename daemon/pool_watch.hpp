#pragma once
// What changed in the pool since the last look, as lines of the log: disks, repairs, corruptions.

#include <map>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "pool/pool.hpp"

namespace square::daemon {

class PoolWatch {
 public:
  struct Line {
    LogLevel level;
    std::string text;
    bool operator==(const Line&) const = default;
  };
  // The first look tells only what is not as it should be.
  std::vector<Line> look(const pool::PoolStatus& pool, const std::vector<pool::DiskStatus>& disks);

 private:
  void look_at_disks(const std::vector<pool::DiskStatus>& disks, std::vector<Line>& lines);

  bool first_ = true;
  std::map<DiskId, pool::DiskStatus> disks_;
  bool rebuilding_ = false, scrubbing_ = false;
  std::uint64_t found_ = 0, repaired_ = 0;
};

}  // namespace square::daemon
