#pragma once
// Prometheus text: version 0.0.4 of its exposition format.

#include <string>
#include <vector>

#include "access/control_service.hpp"
#include "access/data_server.hpp"
#include "daemon/last_words.hpp"

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
// How the process before ended; nothing when it left no word.
std::vector<access::Counter> last_end_counters(const std::optional<LastWords>& words);
// With a label for each disk.
std::string disk_metrics_text(const std::vector<pool::DiskStatus>& disks);

}  // namespace square::daemon
