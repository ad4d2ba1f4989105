// The engine's writes.
#include "bench/limits.hpp"
#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr int kRounds = 3;

}  // namespace

Result<> run_engine_seq_write(const Settings& settings, Report& report) {
  const auto volume_bytes = settings.scaled(512 * kMiB, 8 * kMiB);
  SQ_TRY(auto rig, Rig::make(usual_rig(settings)));
  SQ_TRY(rig->open());
  restart_peak();
  Content content;
  std::vector<double> ratios, costs, limits;
  Spent last;
  for (int round = 0; round < kRounds; ++round) {
    SQ_TRY(const double limit, bare_write_1mib_s({settings.dir + "/limits", settings.small}));
    SQ_TRY(const auto volume, make_volume(*rig, "v" + std::to_string(round), volume_bytes));
    Load load{volume, static_cast<std::uint32_t>(kMiB), volume_bytes / kMiB, 4, sequential(kMiB)};
    SQ_TRY(last, run_writes(*rig, content, std::move(load), true));
    limits.push_back(limit);
    costs.push_back(last.cpu_per_mib_s());
    ratios.push_back(costs.back() / limit);
  }
  tell(report, "1 MiB writes, depth 4,", last);
  tell_disk_bytes(report, "1 MiB writes,", last);
  report.number("peak memory", static_cast<double>(resident_peak_bytes()) / kMiB, "MiB");
  report.number("median CPU per MiB", median_of(costs) * 1e6, "us");
  report.number("limit: seal, hash, parity, one write of 1.25 MiB", median_of(limits) * 1e6,
                "us of CPU per MiB");
  report.at_most("CPU against the limit", median_of(ratios), 1.8, "x");
  report.at_most("disk bytes per client byte", last.disk_bytes_per_client_byte(), 1.35, "");
  return rig->close();
}

Result<> run_engine_random_write(const Settings& settings, Report& report) {
  const auto volume_bytes = settings.scaled(512 * kMiB, 16 * kMiB);
  const auto writes = settings.scaled(60'000, 500);
  SQ_TRY(auto rig, Rig::make(usual_rig(settings)));
  SQ_TRY(rig->open());
  Content content;
  SQ_TRY(const auto volume, make_volume(*rig, "v", volume_bytes));
  SQ_TRY(fill_volume(*rig, content, volume, volume_bytes, true));
  restart_peak();
  std::vector<double> ratios, costs, limits;
  const auto random_writes = [&](std::uint64_t count, unsigned depth, std::uint64_t seed) {
    Load load{volume, 4096, count, depth, at_random(volume_bytes, 4096, seed)};
    return run_writes(*rig, content, std::move(load), true);
  };
  SQ_TRY(const auto alone, random_writes(writes / 10, 1, 99));
  Spent last;
  for (int round = 0; round < kRounds; ++round) {
    const auto seal = bare_seal_s(4096);
    SQ_TRY(const double put, bare_put_s({settings.dir + "/limits", settings.small}, writes));
    SQ_TRY(last, random_writes(writes, 32, static_cast<std::uint64_t>(round)));
    limits.push_back(seal + put);
    costs.push_back(last.cpu_per_request_s());
    ratios.push_back(costs.back() / limits.back());
    if (round == 0) report.number("limit: seal of 4 KiB", seal * 1e6, "us of CPU");
    if (round == 0) report.number("limit: one put", put * 1e6, "us of CPU");
  }
  tell(report, "depth 1,", alone);
  tell_disk_bytes(report, "depth 1,", alone);
  report.number("depth 1, disk bytes per client byte", alone.disk_bytes_per_client_byte(), "");
  tell(report, "depth 32,", last);
  tell_disk_bytes(report, "depth 32,", last);
  report.number("peak memory", static_cast<double>(resident_peak_bytes()) / kMiB, "MiB");
  report.number("depth 32, median CPU per write", median_of(costs) * 1e6, "us");
  report.number("limit: seal of 4 KiB and one put", median_of(limits) * 1e6, "us of CPU");
  report.at_most("CPU against the limit", median_of(ratios), 4, "x");
  report.at_most("CPU at depth 32 against depth 1", median_of(costs) / alone.cpu_per_request_s(), 1,
                 "x");
  report.at_most("disk bytes per client byte, depth 32", last.disk_bytes_per_client_byte(), 4.7,
                 "");
  return rig->close();
}

}  // namespace square::bench
