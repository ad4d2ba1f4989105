#pragma once
// The command line of a simulation program, and its loop over seeds.
//
//   NAME_sim --seeds 1:1000 [--operations N] [--verify-every 50] [--plant NAME] [--trace]
//   [--probes]
//
// For a failing seed it says what was wrong and how to repeat it. With --plant the bug must be
// found: exit 0 when a seed fails, 1 when none does.

#include <cstdio>
#include <string>

namespace square::sim {

struct SeedArguments {
  std::string program;
  std::uint64_t first = 1, count = 20, operations = 0, verify_every = 0;
  std::string plant;
  bool trace = false, probes = false;
};

// Ends the process with status 2 when it makes no sense. Plants the bug.
SeedArguments parse_seeds(int argc, char** argv, std::uint64_t operations);

struct SeedTotals {
  std::uint64_t seeds = 0, failed = 0;
};

void print_failure(const SeedArguments& arguments, std::uint64_t seed, const std::string& what);
// A line for each probe: what was never reached is not tested.
void print_probes();
int exit_status(const SeedArguments& arguments, const SeedTotals& totals);

// `run` takes a seed and gives its report; `add` takes each report.
template <class Run, class Add>
SeedTotals run_seeds(const SeedArguments& arguments, const Run& run, const Add& add) {
  SeedTotals totals;
  for (auto seed = arguments.first; seed < arguments.first + arguments.count; ++seed) {
    const auto report = run(seed);
    ++totals.seeds;
    add(report);
    if (report.violation) {
      ++totals.failed;
      print_failure(arguments, seed, *report.violation);
      if (!arguments.plant.empty()) break;
    }
    if (arguments.verify_every != 0 && seed % arguments.verify_every == 0 &&
        run(seed).event_hash != report.event_hash) {
      ++totals.failed;
      std::printf("seed %llu: two runs differ\n", static_cast<unsigned long long>(seed));
    }
  }
  return totals;
}

}  // namespace square::sim
