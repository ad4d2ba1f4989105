#pragma once
// What an operator should know and do, from the state of the pool. docs/health/ has a page per
// code.

#include <map>

#include "access/control_service.hpp"

namespace square::access {

// `node` is for the commands. Without `since_ns`.
std::vector<HealthCheck> judge(const std::string& node, const pool::PoolStatus& pool,
                               const std::vector<pool::DiskStatus>& disks);
// Ranges of volumes are gone.
HealthCheck data_lost(const std::string& node);
// Rot may lie there unseen.
HealthCheck scrub_overdue(const std::string& node);
// "ok", "degraded" or "at_risk": the worst of the checks.
std::string overall(const std::vector<HealthCheck>& checks);

// Remembers since when each check holds.
class HealthHistory {
 public:
  void stamp(std::vector<HealthCheck>& checks, std::int64_t now_ns);

 private:
  std::map<std::string, std::int64_t> since_;  // by code and summary's subject
};

// Nothing, or why content still depends on the disk. Errors: kNotFound, kDenied.
Result<> ok_to_pull(const std::vector<pool::DiskStatus>& disks, Slot slot);

}  // namespace square::access
