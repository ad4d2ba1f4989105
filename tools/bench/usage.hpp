#pragma once
// What this process has used so far.

#include <cstdint>

#include "bench/samples.hpp"

namespace square::bench {

struct Usage {
  double wall_s = 0;
  double cpu_s = 0;                 // of all threads, kernel included
  std::uint64_t written_bytes = 0;  // handed to write calls, to whatever kind of file
};
Usage operator-(const Usage& later, const Usage& earlier);

Usage usage_now();
// CPU time of the calling thread alone, in seconds.
double thread_cpu_s();
std::uint64_t resident_bytes();
// The highest since the start, or since the last restart_peak().
std::uint64_t resident_peak_bytes();
void restart_peak();

// CPU seconds of one call of `work`: the median of `rounds` rounds of `calls` calls. The first
// round does not count.
template <class Work>
double cpu_of_call(int rounds, int calls, Work work) {
  Samples samples;
  for (int round = 0; round <= rounds; ++round) {
    const auto began = thread_cpu_s();
    for (int call = 0; call < calls; ++call) work();
    if (round > 0) samples.add((thread_cpu_s() - began) / calls);
  }
  return samples.median();
}

}  // namespace square::bench
