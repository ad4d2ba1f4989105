#pragma once
// The runs that `square-bench list` shows.

#include <span>
#include <string>

#include "base/result.hpp"
#include "bench/report.hpp"

namespace square::bench {

struct Settings {
  std::string dir;     // for disks and index files; emptied by each run
  bool small = false;  // a look whether it runs: its numbers mean nothing
  // `full` of something, or a sliver of it.
  std::uint64_t scaled(std::uint64_t full, std::uint64_t sliver) const {
    return small ? sliver : full;
  }
};

struct Run {
  const char* name;
  const char* about;
  Result<> (*run)(const Settings& settings, Report& report);
};

std::span<const Run> all_runs();

// codec_runs.cpp
Result<> run_seal(const Settings& settings, Report& report);
Result<> run_parity(const Settings& settings, Report& report);
// pool_runs.cpp
Result<> run_journal(const Settings& settings, Report& report);
Result<> run_destage(const Settings& settings, Report& report);
// index_runs.cpp
Result<> run_index(const Settings& settings, Report& report);
Result<> run_diff(const Settings& settings, Report& report);
// diff_runs.cpp
Result<> run_diff_stream(const Settings& settings, Report& report);
// write_runs.cpp
Result<> run_engine_seq_write(const Settings& settings, Report& report);
Result<> run_engine_random_write(const Settings& settings, Report& report);
// read_runs.cpp
Result<> run_degraded_read(const Settings& settings, Report& report);
// repair_runs.cpp
Result<> run_rebuild(const Settings& settings, Report& report);
Result<> run_scrub(const Settings& settings, Report& report);
// cleaning_runs.cpp
Result<> run_cleaning(const Settings& settings, Report& report);
// recovery_runs.cpp
Result<> run_checkpoint(const Settings& settings, Report& report);
Result<> run_recovery(const Settings& settings, Report& report);
// `square-bench fill-and-die DIR small|full`: the process that run_recovery() starts, for the
// crash.
inline constexpr const char* kFillAndDie = "fill-and-die";
Result<> fill_and_die(const Settings& settings);
// standing_runs.cpp
Result<> run_memory(const Settings& settings, Report& report);
Result<> run_idle(const Settings& settings, Report& report);

}  // namespace square::bench
