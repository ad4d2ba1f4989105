// Runs the whole engine on simulated disks and virtual time; one line of counts at the end.
// Arguments: sim/engine/seeds.hpp.

#include "sim/engine/engine_run.hpp"
#include "sim/engine/seeds.hpp"

using namespace square;
using namespace square::sim;

namespace {

struct Totals {
  RunReport sum;
  std::uint64_t rocks = 0;
  void add(const RunReport& report) {
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

void print(const SeedTotals& seeds, const Totals& totals) {
  const auto& s = totals.sum;
  std::printf(
      "%llu seeds (%llu with RocksDB), %llu failed: %llu operations, %llu acknowledged, %llu "
      "unknown, %llu retried; %llu faults ordered, of them %llu crashes and %llu inside recovery; "
      "%llu destages, %llu direct, %llu checkpoints, %llu snapshots, %llu KiB moved; %llu heals, "
      "%llu KiB rebuilt; %llu sealings watched; %.1f virtual s, %llu events; faults:",
      Number{seeds.seeds}, Number{totals.rocks}, Number{seeds.failed}, Number{s.operations},
      Number{s.acknowledged}, Number{s.unknown}, Number{s.retries}, Number{s.strikes},
      Number{s.crashes}, Number{s.recovery_crashes}, Number{s.destages}, Number{s.direct_writes},
      Number{s.checkpoints}, Number{s.snapshots}, Number{s.moved_bytes >> 10}, Number{s.heals},
      Number{s.rebuilt_bytes >> 10}, Number{s.sealings}, s.virtual_s, Number{s.events});
  for (std::size_t i = 0; i < s.faults.fired.size(); ++i)
    std::printf(" %s=%llu", std::string(disk_fault_name(static_cast<DiskFault>(i))).c_str(),
                Number{s.faults.fired[i]});
  std::printf("\n");
}

// A line each, for tools/check.
void print_faults(const FaultCounts& faults) {
  for (std::size_t i = 0; i < faults.fired.size(); ++i)
    std::printf("fault %8llu  %s\n", Number{faults.fired[i]},
                std::string(disk_fault_name(static_cast<DiskFault>(i))).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse_seeds(argc, argv, RunOptions{}.operations);
  Totals totals;
  const auto run = [&arguments](std::uint64_t seed) {
    RunOptions options;
    options.seed = seed;
    options.operations = arguments.operations;
    options.trace = arguments.trace;
    return EngineRun(options).run();
  };
  const auto seeds =
      run_seeds(arguments, run, [&totals](const RunReport& report) { totals.add(report); });
  print(seeds, totals);
  if (arguments.probes) {
    print_faults(totals.sum.faults);
    print_probes();
  }
  return exit_status(arguments, seeds);
}
