#include "bench/usage.hpp"

#include <sys/resource.h>

#include <ctime>
#include <fstream>
#include <string>

namespace square::bench {

namespace {

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// The number behind `name` in a file of /proc.
std::uint64_t number_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (word != name) continue;
    std::uint64_t value = 0;
    file >> value;
    return value;
  }
  return 0;
}

}  // namespace

Usage operator-(const Usage& later, const Usage& earlier) {
  return {later.wall_s - earlier.wall_s, later.cpu_s - earlier.cpu_s,
          later.written_bytes - earlier.written_bytes};
}

Usage usage_now() {
  return {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID),
          number_in("/proc/self/io", "wchar:")};
}

double thread_cpu_s() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

std::uint64_t resident_bytes() { return number_in("/proc/self/status", "VmRSS:") << 10; }

std::uint64_t resident_peak_bytes() { return number_in("/proc/self/status", "VmHWM:") << 10; }

void restart_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace square::bench
