#include "access/health.hpp"

#include <algorithm>

namespace square::access {

namespace {

std::string disk_name(const pool::DiskStatus& disk) {
  return "disk " + std::to_string(disk.slot.value) + " (" +
         (disk.path.empty() ? disk.id.to_string() : disk.path) + ")";
}

void judge_disk(const std::string& node, const pool::DiskStatus& disk,
                std::vector<HealthCheck>& out) {
  const auto because = disk.why.empty() ? std::string() : ": " + disk.why;
  switch (disk.state) {
    case pool::DiskState::kFailed:
      out.push_back({"SQ-DISK-FAILED", "degraded", disk_name(disk) + " has failed" + because,
                     "square disk ok-to-pull " + node + " " + std::to_string(disk.slot.value), 0});
      return;
    case pool::DiskState::kMissing:
      out.push_back({"SQ-DISK-MISSING", "degraded", disk_name(disk) + " is missing" + because,
                     "square disk ls --node " + node, 0});
      return;
    case pool::DiskState::kForeign:
      out.push_back({"SQ-DISK-FOREIGN", "degraded",
                     disk_name(disk) + " is not of this pool and is left alone" + because,
                     "square disk ls --node " + node, 0});
      return;
    case pool::DiskState::kMember:
    case pool::DiskState::kSpare:
    case pool::DiskState::kRebuilding: break;
  }
  // One that is only set aside may have had a bad moment; that alone is no business of anybody's.
  if (disk.slow)
    out.push_back({"SQ-DISK-SLOW", "degraded", disk_name(disk) + " is slow" + because,
                   "square disk retire " + node + " " + std::to_string(disk.slot.value), 0});
}

}  // namespace

std::vector<HealthCheck> judge(const std::string& node, const pool::PoolStatus& pool,
                               const std::vector<pool::DiskStatus>& disks) {
  std::vector<HealthCheck> checks;
  const auto members = unsigned{pool.geometry.k} + pool.geometry.m;
  const unsigned lost = members > pool.members_live ? members - pool.members_live : 0;
  if (lost > 0) {
    const bool last = lost >= pool.geometry.m;
    checks.push_back(
        {last ? "SQ-POOL-AT-RISK" : "SQ-POOL-DEGRADED", last ? "at_risk" : "degraded",
         std::to_string(lost) + " of " + std::to_string(members) +
             " members are not live: " + (last ? "no further disk may go" : "one parity is gone") +
             (pool.spares_free > 0 ? ", a spare is free" : ", no spare is free"),
         "square pool status --node " + node, 0});
  }
  if (lost == 0 && pool.segments_thin > 0)
    checks.push_back({"SQ-POOL-DEGRADED", "degraded",
                      std::to_string(pool.segments_thin) +
                          " segments were written with members away and have less parity than the "
                          "pool: cleaning moves them",
                      "square pool status --node " + node, 0});
  for (const auto& disk : disks) judge_disk(node, disk, checks);
  if (pool.capacity_bytes > 0) {
    const double free =
        static_cast<double>(pool.free_bytes) / static_cast<double>(pool.capacity_bytes);
    if (free < 0.02)
      checks.push_back({"SQ-POOL-FULL", "at_risk", "the pool is full: writes are refused",
                        "square volume ls", 0});
    else if (free < 0.15)
      checks.push_back({"SQ-POOL-NEARLY-FULL", "degraded", "less than 15 % of the pool is free",
                        "square volume ls", 0});
  }
  return checks;
}

HealthCheck scrub_overdue(const std::string& node) {
  return {"SQ-SCRUB-OVERDUE", "degraded",
          "no scrub has ended well for twice the time within which one should",
          "square pool scrub --wait --node " + node, 0};
}

HealthCheck data_lost(const std::string& node) {
  return {"SQ-DATA-LOST", "at_risk",
          "more disks or strips are gone than there is parity: ranges of volumes are lost, and "
          "reading them fails",
          "square pool status --json --node " + node, 0};
}

std::string overall(const std::vector<HealthCheck>& checks) {
  const auto at_risk = [](const HealthCheck& check) { return check.severity == "at_risk"; };
  if (std::ranges::any_of(checks, at_risk)) return "at_risk";
  return checks.empty() ? "ok" : "degraded";
}

void HealthHistory::stamp(std::vector<HealthCheck>& checks, std::int64_t now_ns) {
  std::map<std::string, std::int64_t> still;
  for (auto& check : checks) {
    const auto key = check.code + check.summary.substr(0, check.summary.find(' ', 6));
    const auto known = since_.find(key);
    check.since_ns = known == since_.end() ? now_ns : known->second;
    still[key] = check.since_ns;
  }
  since_ = std::move(still);
}

Result<> ok_to_pull(const std::vector<pool::DiskStatus>& disks, Slot slot) {
  const auto found = std::ranges::find(disks, slot, &pool::DiskStatus::slot);
  if (found == disks.end())
    return Error{Code::kNotFound, "no disk in slot " + std::to_string(slot.value)};
  switch (found->state) {
    case pool::DiskState::kMember:
      return Error{Code::kDenied, disk_name(*found) + " is a live member: content depends on it"};
    case pool::DiskState::kRebuilding:
      return Error{Code::kDenied, disk_name(*found) + " is being filled"};
    case pool::DiskState::kSpare:
    case pool::DiskState::kFailed:
    case pool::DiskState::kMissing:
    case pool::DiskState::kForeign: return {};
  }
  return {};
}

}  // namespace square::access
