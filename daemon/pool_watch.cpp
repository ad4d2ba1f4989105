#include "daemon/pool_watch.hpp"

#include "base/units.hpp"

namespace square::daemon {

namespace {

bool is_bad(pool::DiskState state) {
  return state == pool::DiskState::kFailed || state == pool::DiskState::kMissing ||
         state == pool::DiskState::kForeign;
}

std::string name_of(const pool::DiskStatus& disk) {
  return "disk " + std::to_string(disk.slot.value) + " (" +
         (disk.path.empty() ? disk.id.to_string() : disk.path) + ")";
}

std::string repair_text(const pool::RepairStatus& repair) {
  return size_text(repair.done_bytes) + " gone through, " + std::to_string(repair.stripes_lost) +
         " stripes lost";
}

// "began", "ended", or nothing.
void look_at_pass(const std::string& what, const pool::RepairStatus& now, bool& active,
                  std::vector<PoolWatch::Line>& lines) {
  if (now.active && !active) lines.push_back({LogLevel::kInfo, what + " began"});
  if (!now.active && active)
    lines.push_back({now.stripes_lost > 0 ? LogLevel::kError : LogLevel::kInfo,
                     what + " ended: " + repair_text(now)});
  active = now.active;
}

}  // namespace

std::vector<PoolWatch::Line> PoolWatch::look(const pool::PoolStatus& pool,
                                             const std::vector<pool::DiskStatus>& disks) {
  std::vector<Line> lines;
  look_at_disks(disks, lines);
  look_at_pass("rebuild", pool.rebuild, rebuilding_, lines);
  look_at_pass("scrub", pool.scrub, scrubbing_, lines);
  if (pool.corruptions_found != found_ || pool.corruptions_repaired != repaired_)
    lines.push_back({LogLevel::kWarning, std::to_string(pool.corruptions_found) +
                                             " corruptions found since the start, " +
                                             std::to_string(pool.corruptions_repaired) +
                                             " repaired"});
  found_ = pool.corruptions_found;
  repaired_ = pool.corruptions_repaired;
  first_ = false;
  return lines;
}

void PoolWatch::look_at_disks(const std::vector<pool::DiskStatus>& disks,
                              std::vector<Line>& lines) {
  std::map<DiskId, pool::DiskStatus> now;
  for (const auto& disk : disks) {
    const auto known = disks_.find(disk.id);
    const bool changed =
        known == disks_.end() ? !first_ || is_bad(disk.state) : known->second.state != disk.state;
    if (changed)
      lines.push_back({is_bad(disk.state) ? LogLevel::kWarning : LogLevel::kInfo,
                       name_of(disk) + " is " + std::string(pool::disk_state_name(disk.state)) +
                           (disk.why.empty() ? "" : ": " + disk.why)});
    now[disk.id] = disk;
  }
  for (const auto& [id, disk] : disks_)
    if (!now.contains(id)) lines.push_back({LogLevel::kInfo, name_of(disk) + " is listed no more"});
  disks_ = std::move(now);
}

}  // namespace square::daemon
