#pragma once
// Clients of the engine, and what they cost.

#include <functional>

#include "bench/content.hpp"
#include "bench/report.hpp"
#include "bench/rig.hpp"
#include "bench/usage.hpp"

namespace square::bench {

// Where the i-th request goes.
using Offsets = std::function<std::uint64_t(std::uint64_t i)>;
Offsets sequential(std::uint64_t request_bytes);
// Blocks of `request_bytes`, each drawn from all of the volume.
Offsets at_random(std::uint64_t volume_bytes, std::uint64_t request_bytes, std::uint64_t seed = 1);

struct Load {
  VolumeId volume;
  std::uint32_t request_bytes = 4096;
  std::uint64_t requests = 0;
  unsigned depth = 1;
  Offsets offset;
  bool wait_when_full = false;  // a write that is refused for want of room is sent again
};

// Between two moments of a rig.
struct Spent {
  Usage use;
  std::uint64_t requests = 0, client_bytes = 0;
  std::uint64_t refused = 0;  // for want of room, and sent again
  Samples latency_us;
  store::EngineStats before, after;

  double cpu_per_request_s() const { return use.cpu_s / static_cast<double>(requests); }
  double cpu_per_mib_s() const {
    return use.cpu_s * (1u << 20) / static_cast<double>(client_bytes);
  }
  std::uint64_t disk_bytes() const;   // written to the pool's disks, for whatever reason
  std::uint64_t index_bytes() const;  // written to the index's working copy
  double disk_bytes_per_client_byte() const;
};

Result<VolumeId> make_volume(Rig& rig, const std::string& name, std::uint64_t bytes,
                             std::uint32_t extent_bytes = 64u << 10);
// Writes, and then whatever `end_with_checkpoint` says. Everything that happens meanwhile counts.
Result<Spent> run_writes(Rig& rig, Content& content, Load load, bool end_with_checkpoint);
// Writes the first `bytes` of the volume, 1 MiB after 1 MiB.
Result<> fill_volume(Rig& rig, Content& content, VolumeId volume, std::uint64_t bytes,
                     bool end_with_checkpoint);
Result<Spent> run_reads(Rig& rig, Load load);

// Throughput, latencies, CPU, disk bytes by purpose. `what` is put in front of each name.
void tell(Report& report, const std::string& what, const Spent& spent);
void tell_disk_bytes(Report& report, const std::string& what, const Spent& spent);

double median_of(std::vector<double> values);

}  // namespace square::bench
