// Runs the whole engine on simulated disks and virtual time.
//
//   engine_sim --seeds 1:1000 [--operations 2000] [--verify-every 50] [--plant NAME] [--trace]
//
// Prints one line of counts at the end, and for a failing seed what was wrong and how to repeat it.
// With --plant the bug must be found: exit 0 when a seed fails, 1 when none does.

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "sim/engine/engine_run.hpp"

using namespace square;
using namespace square::sim;

namespace {

struct Arguments {
  std::uint64_t first = 1, count = 20, operations = 2000, verify_every = 0;
  std::string plant;
  bool trace = false, probes = false;
};

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--trace")
      out.trace = true;
    else if (flag == "--probes")
      out.probes = true;
    else if (flag == "--seeds") {
      char* rest = nullptr;
      out.first = std::strtoull(value, &rest, 10);
      out.count = *rest == ':' ? std::strtoull(rest + 1, nullptr, 10) : 1;
      ++i;
    } else if (flag == "--operations")
      out.operations = std::strtoull(argv[++i], nullptr, 10);
    else if (flag == "--verify-every")
      out.verify_every = std::strtoull(argv[++i], nullptr, 10);
    else if (flag == "--plant")
      out.plant = argv[++i];
    else {
      std::fprintf(stderr, "engine_sim: unknown argument '%s'\n", flag.c_str());
      std::exit(2);
    }
  }
  return out;
}

struct Totals {
  RunReport sum;
  std::uint64_t seeds = 0, failed = 0, rocks = 0;
  void add(const RunReport& report) {
    ++seeds;
    failed += report.violation.has_value();
    sum.operations += report.operations;
    sum.acknowledged += report.acknowledged;
    sum.unknown += report.unknown;
    sum.crashes += report.crashes;
    sum.recovery_crashes += report.recovery_crashes;
    sum.retries += report.retries;
    sum.snapshots += report.snapshots;
    sum.destages += report.destages;
    sum.checkpoints += report.checkpoints;
    sum.direct_writes += report.direct_writes;
    sum.moved_bytes += report.moved_bytes;
    sum.heals += report.heals;
    sum.strikes += report.strikes;
    sum.sealings += report.sealings;
    rocks += report.rocks;
    sum.rebuilt_bytes += report.rebuilt_bytes;
    sum.virtual_s += report.virtual_s;
    sum.events += report.events;
    sum.faults.add(report.faults);
  }
};

using Number = unsigned long long;  // for printf

void print(const Totals& totals) {
  const auto& s = totals.sum;
  std::printf(
      "%llu seeds (%llu with RocksDB), %llu failed: %llu operations, %llu acknowledged, %llu "
      "unknown, %llu retried; %llu faults ordered, of them %llu crashes and %llu inside recovery; "
      "%llu destages, %llu direct, %llu checkpoints, %llu snapshots, %llu KiB moved; %llu heals, "
      "%llu KiB rebuilt; %llu sealings watched; %.1f virtual s, %llu events; faults:",
      Number{totals.seeds}, Number{totals.rocks}, Number{totals.failed}, Number{s.operations},
      Number{s.acknowledged}, Number{s.unknown}, Number{s.retries}, Number{s.strikes},
      Number{s.crashes}, Number{s.recovery_crashes}, Number{s.destages}, Number{s.direct_writes},
      Number{s.checkpoints}, Number{s.snapshots}, Number{s.moved_bytes >> 10}, Number{s.heals},
      Number{s.rebuilt_bytes >> 10}, Number{s.sealings}, s.virtual_s, Number{s.events});
  for (std::size_t i = 0; i < s.faults.fired.size(); ++i)
    std::printf(" %s=%llu", std::string(disk_fault_name(static_cast<DiskFault>(i))).c_str(),
                Number{s.faults.fired[i]});
  std::printf("\n");
}

// A line each, for tools/check: what was never reached is not tested.
void print_reached(const FaultCounts& faults) {
  for (std::size_t i = 0; i < faults.fired.size(); ++i)
    std::printf("fault %8llu  %s\n", Number{faults.fired[i]},
                std::string(disk_fault_name(static_cast<DiskFault>(i))).c_str());
  for (const auto& probe : probe_counts())
    std::printf("probe %8llu  %.*s\n", Number{probe.hits}, static_cast<int>(probe.name.size()),
                probe.name.data());
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
#ifdef SQUARE_PLANTED_BUGS
  if (!arguments.plant.empty()) {
    if (auto set = set_planted_bug(arguments.plant); !set.ok()) {
      std::fprintf(stderr, "engine_sim: %s\n", set.error().message.c_str());
      return 2;
    }
  }
#else
  if (!arguments.plant.empty()) {
    std::fprintf(stderr, "engine_sim: this build has no planted bugs (use the asan preset)\n");
    return 2;
  }
#endif
  // What one seed frees the next one needs: memory that goes back to the system costs a page fault
  // for every 4 KiB when it is touched again.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  Totals totals;
  for (auto seed = arguments.first; seed < arguments.first + arguments.count; ++seed) {
    RunOptions options;
    options.seed = seed;
    options.operations = arguments.operations;
    options.trace = arguments.trace;
    const auto report = EngineRun(options).run();
    totals.add(report);
    if (report.violation) {
      std::printf("seed %llu: %s\n  again: engine_sim --seeds %llu:1 --operations %llu --trace\n",
                  (unsigned long long)seed, report.violation->c_str(), (unsigned long long)seed,
                  (unsigned long long)arguments.operations);
      std::fflush(stdout);
      if (!arguments.plant.empty()) break;
    }
    if (arguments.verify_every != 0 && seed % arguments.verify_every == 0 &&
        EngineRun(options).run().event_hash != report.event_hash) {
      ++totals.failed;
      std::printf("seed %llu: two runs differ\n", (unsigned long long)seed);
    }
  }
  print(totals);
  if (arguments.probes) print_reached(totals.sum.faults);
  const bool found = totals.failed != 0;
  return found == !arguments.plant.empty() ? 0 : 1;
}
