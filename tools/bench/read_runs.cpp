// Reads, whole and with disks lost.
#include "bench/limits.hpp"
#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr unsigned kDepth = 8;
constexpr int kRounds = 3;

struct Costs {
  double small_s = 0, large_s = 0;  // of a read of 4 KiB at random, of 1 MiB
};

Result<Costs> read_costs(Rig& rig, VolumeId volume, std::uint64_t volume_bytes,
                         const Settings& settings, Report& report, const std::string& what) {
  std::vector<double> small, large;
  Spent last_small, last_large;
  for (int round = 0; round < kRounds; ++round) {
    Load blocks{volume, 4096, settings.scaled(20'000, 100), kDepth,
                at_random(volume_bytes, 4096, 3)};
    SQ_TRY(last_small, run_reads(rig, std::move(blocks)));
    small.push_back(last_small.cpu_per_request_s());
    Load runs{volume, static_cast<std::uint32_t>(kMiB), volume_bytes / kMiB, kDepth,
              sequential(kMiB)};
    SQ_TRY(last_large, run_reads(rig, std::move(runs)));
    large.push_back(last_large.cpu_per_request_s());
  }
  tell(report, what + " 4 KiB,", last_small);
  tell(report, what + " 1 MiB,", last_large);
  return Costs{median_of(small), median_of(large)};
}

}  // namespace

Result<> run_degraded_read(const Settings& settings, Report& report) {
  const auto volume_bytes = settings.scaled(256 * kMiB, 8 * kMiB);
  SQ_TRY(auto rig, Rig::make(usual_rig(settings)));
  SQ_TRY(rig->open());
  Content content;
  SQ_TRY(const auto volume, make_volume(*rig, "v", volume_bytes));
  SQ_TRY(fill_volume(*rig, content, volume, volume_bytes, true));
  report.number("limit: check 64 KiB, open 4 KiB of it", bare_open_s(4u << 10) * 1e6, "us of CPU");
  report.number("limit: check and open 64 KiB, 16 times", bare_open_s(64u << 10) * 16e6,
                "us of CPU");

  SQ_TRY(const auto whole, read_costs(*rig, volume, volume_bytes, settings, report, "healthy,"));
  const auto lose = [&](std::uint16_t slot) {
    return rig->run(rig->engine().pool().fail_disk(Slot(slot), "lost for this run"));
  };
  SQ_TRY(lose(2));
  SQ_TRY(const auto one, read_costs(*rig, volume, volume_bytes, settings, report, "1 disk lost,"));
  SQ_TRY(lose(7));
  SQ_TRY(const auto two, read_costs(*rig, volume, volume_bytes, settings, report, "2 disks lost,"));
  report.at_least("1 MiB, 1 disk lost, rate per CPU against healthy", whole.large_s / one.large_s,
                  0.8, "x");
  report.at_least("1 MiB, 2 disks lost, rate per CPU against healthy", whole.large_s / two.large_s,
                  0.8, "x");
  report.at_least("4 KiB, 1 disk lost, rate per CPU against healthy", whole.small_s / one.small_s,
                  0.7, "x");
  report.at_least("4 KiB, 2 disks lost, rate per CPU against healthy", whole.small_s / two.small_s,
                  0.55, "x");
  return rig->close();
}

}  // namespace square::bench
