// Runs stores that send and take diffs on simulated disks and virtual time; one line of counts at
// the end. Arguments: sim/engine/seeds.hpp.

#include "sim/engine/diff_run.hpp"
#include "sim/engine/seeds.hpp"

using namespace square;
using namespace square::sim;

namespace {

using Number = unsigned long long;  // for printf

void add(DiffReport& sum, const DiffReport& one) {
  for (auto member :
       {&DiffReport::operations, &DiffReport::snapshots, &DiffReport::drops,
        &DiffReport::refused_full, &DiffReport::begun, &DiffReport::resumed, &DiffReport::arrived,
        &DiffReport::other_rewrites, &DiffReport::other_roots, &DiffReport::pieces,
        &DiffReport::stored_bytes, &DiffReport::broken, &DiffReport::source_crashes,
        &DiffReport::receiver_crashes, &DiffReport::roll_backs, &DiffReport::forks_dropped,
        &DiffReport::compared, &DiffReport::rocks, &DiffReport::events})
    sum.*member += one.*member;
  sum.virtual_s += one.virtual_s;
}

void print(const SeedTotals& seeds, const DiffReport& s) {
  std::printf(
      "%llu seeds (%llu with RocksDB), %llu failed: %llu operations, %llu snapshots, %llu dropped, "
      "%llu refused; %llu diffs arrived of %llu begun, %llu of them resumed, %llu broken off, %llu "
      "pieces, %llu KiB stored; %llu bases with other rewrites, %llu with another root, %llu "
      "forks; "
      "%llu source crashes, %llu receiver crashes, %llu roll-backs; %llu snapshots compared; %.1f "
      "virtual s, %llu events\n",
      Number{seeds.seeds}, Number{s.rocks}, Number{seeds.failed}, Number{s.operations},
      Number{s.snapshots}, Number{s.drops}, Number{s.refused_full}, Number{s.arrived},
      Number{s.begun}, Number{s.resumed}, Number{s.broken}, Number{s.pieces},
      Number{s.stored_bytes >> 10}, Number{s.other_rewrites}, Number{s.other_roots},
      Number{s.forks_dropped}, Number{s.source_crashes}, Number{s.receiver_crashes},
      Number{s.roll_backs}, Number{s.compared}, s.virtual_s, Number{s.events});
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse_seeds(argc, argv, DiffRunOptions{}.operations);
  DiffReport sum;
  const auto run = [&arguments](std::uint64_t seed) {
    return DiffRun({seed, arguments.operations, arguments.trace}).run();
  };
  const auto seeds =
      run_seeds(arguments, run, [&sum](const DiffReport& report) { add(sum, report); });
  print(seeds, sum);
  if (arguments.probes) print_probes();
  return exit_status(arguments, seeds);
}
