#include "sim/engine/seeds.hpp"

#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "base/planted.hpp"
#include "base/probe.hpp"

namespace square::sim {

namespace {

using Number = unsigned long long;  // for printf

[[noreturn]] void refuse(const SeedArguments& arguments, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", arguments.program.c_str(), why.c_str());
  std::exit(2);
}

void plant(const SeedArguments& arguments) {
  if (arguments.plant.empty()) return;
#ifdef SQUARE_PLANTED_BUGS
  if (auto set = set_planted_bug(arguments.plant); !set.ok())
    refuse(arguments, set.error().message);
#else
  refuse(arguments, "this build has no planted bugs (use the asan preset)");
#endif
}

}  // namespace

SeedArguments parse_seeds(int argc, char** argv, std::uint64_t operations) {
  SeedArguments out;
  const auto* slash = std::strrchr(argv[0], '/');
  out.program = slash == nullptr ? argv[0] : slash + 1;
  out.operations = operations;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--trace") {
      out.trace = true;
      continue;
    }
    if (flag == "--probes") {
      out.probes = true;
      continue;
    }
    if (i + 1 == argc) refuse(out, "unknown argument, or one without a value: '" + flag + "'");
    const char* value = argv[++i];
    if (flag == "--seeds") {
      char* rest = nullptr;
      out.first = std::strtoull(value, &rest, 10);
      out.count = *rest == ':' ? std::strtoull(rest + 1, nullptr, 10) : 1;
    } else if (flag == "--operations") {
      out.operations = std::strtoull(value, nullptr, 10);
    } else if (flag == "--verify-every") {
      out.verify_every = std::strtoull(value, nullptr, 10);
    } else if (flag == "--plant") {
      out.plant = value;
    } else {
      refuse(out, "unknown argument '" + flag + "'");
    }
  }
  plant(out);
  // What one seed frees the next one needs: memory that goes back to the system costs a page fault
  // for every 4 KiB when it is touched again.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  return out;
}

void print_failure(const SeedArguments& arguments, std::uint64_t seed, const std::string& what) {
  std::printf("seed %llu: %s\n  again: %s --seeds %llu:1 --operations %llu --trace\n", Number{seed},
              what.c_str(), arguments.program.c_str(), Number{seed}, Number{arguments.operations});
  std::fflush(stdout);
}

void print_probes() {
  for (const auto& probe : probe_counts())
    std::printf("probe %8llu  %.*s\n", Number{probe.hits}, static_cast<int>(probe.name.size()),
                probe.name.data());
}

int exit_status(const SeedArguments& arguments, const SeedTotals& totals) {
  const bool found = totals.failed != 0;
  return found == !arguments.plant.empty() ? 0 : 1;
}

}  // namespace square::sim
