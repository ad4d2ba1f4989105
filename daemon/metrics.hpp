#pragma once
// Prometheus text: version 0.0.4 of its exposition format.

#include <string>
#include <vector>

#include "access/control_service.hpp"
#include "access/data_server.hpp"

namespace square::daemon {

struct ProcessUse {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
};
ProcessUse process_use();

// A counter when the name ends in "_total", else a gauge.
std::string metrics_text(const std::vector<access::Counter>& counters);
std::vector<access::Counter> data_plane_counters(const access::DataServerStats& stats);
std::vector<access::Counter> process_counters(const ProcessUse& use);
// With a label for each disk.
std::string disk_metrics_text(const std::vector<pool::DiskStatus>& disks);

}  // namespace square::daemon
