#include "daemon/metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>

namespace square::daemon {

namespace {

std::string number(double value) {
  char text[32];
  if (value == std::floor(value) && std::abs(value) < 1e15)
    std::snprintf(text, sizeof text, "%.0f", value);
  else
    std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string type_line(const std::string& name) {
  return "# TYPE " + name + (name.ends_with("_total") ? " counter\n" : " gauge\n");
}

std::string label_text(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

}  // namespace

ProcessUse process_use() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  ProcessUse out;
  out.cpu_seconds = seconds(use.ru_utime) + seconds(use.ru_stime);
  std::uint64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  out.resident_bytes = resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return out;
}

std::string metrics_text(const std::vector<access::Counter>& counters) {
  std::string text;
  for (const auto& counter : counters)
    text += type_line(counter.name) + counter.name + " " + number(counter.value) + "\n";
  return text;
}

std::vector<access::Counter> data_plane_counters(const access::DataServerStats& s) {
  const auto d = [](std::uint64_t value) { return static_cast<double>(value); };
  return {{"square_data_connections", d(s.connections)},
          {"square_data_connections_total", d(s.connections_total)},
          {"square_data_connections_refused_total", d(s.connections_refused)},
          {"square_data_protocol_errors_total", d(s.protocol_errors)},
          {"square_data_requests_total", d(s.requests)},
          {"square_data_request_errors_total", d(s.request_errors)},
          {"square_data_inflight_bytes", d(s.inflight_bytes)},
          {"square_data_payload_in_bytes_total", d(s.payload_in_bytes)},
          {"square_data_payload_out_bytes_total", d(s.payload_out_bytes)}};
}

std::vector<access::Counter> process_counters(const ProcessUse& use) {
  return {{"square_process_cpu_seconds_total", use.cpu_seconds},
          {"square_process_resident_bytes", static_cast<double>(use.resident_bytes)}};
}

std::vector<access::Counter> last_end_counters(const std::optional<LastWords>& words) {
  if (!words) return {};
  std::vector<access::Counter> out{{"square_last_end_clean", words->clean ? 1.0 : 0.0}};
  for (std::size_t i = 0; i < words->in_flight.size(); ++i)
    out.push_back({"square_last_end_" + std::string(kActivityNames[i]) + "_in_flight",
                   static_cast<double>(words->in_flight[i])});
  return out;
}

std::string disk_metrics_text(const std::vector<pool::DiskStatus>& disks) {
  struct Column {
    std::string name;
    std::uint64_t pool::DiskStatus::* field;
  };
  const std::vector<Column> columns{
      {"square_disk_size_bytes", &pool::DiskStatus::size_bytes},
      {"square_disk_live_bytes", &pool::DiskStatus::live_bytes},
      {"square_disk_read_errors_total", &pool::DiskStatus::read_errors},
      {"square_disk_write_errors_total", &pool::DiskStatus::write_errors},
      {"square_disk_corruptions_total", &pool::DiskStatus::corruptions}};
  std::string text;
  const auto labels = [](const pool::DiskStatus& disk) {
    return "{slot=\"" + std::to_string(disk.slot.value) + "\",disk=\"" + disk.id.to_string() +
           "\",path=\"" + label_text(disk.path) + "\",state=\"" +
           std::string(pool::disk_state_name(disk.state)) + "\"} ";
  };
  for (const auto& column : columns) {
    text += type_line(column.name);
    for (const auto& disk : disks)
      text += column.name + labels(disk) + std::to_string(disk.*column.field) + "\n";
  }
  return text;
}

}  // namespace square::daemon
