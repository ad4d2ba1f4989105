// Overwriting when most of the pool is full.
#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kFullPercent = 70;
constexpr std::uint32_t kWriteBytes = 16u << 10;
constexpr int kOverwrites = 10;

std::uint64_t used_bytes(const Rig& rig) {
  const auto status = const_cast<Rig&>(rig).engine().stats().pool;
  return status.capacity_bytes - status.free_bytes;
}

Result<> overwrite(Rig& rig, const Settings& settings, Report& report) {
  Content content;
  const auto capacity = rig.engine().stats().pool.capacity_bytes;
  const auto volume_bytes = capacity / 100 * kFullPercent / kMiB * kMiB;
  SQ_TRY(const auto volume, make_volume(rig, "v", volume_bytes));
  const auto writes = settings.scaled(volume_bytes / kWriteBytes, 200);
  report.number("volume", static_cast<double>(volume_bytes) / kMiB, "MiB");
  report.number("of the pool's capacity",
                100.0 * static_cast<double>(volume_bytes) / static_cast<double>(capacity), "%");
  // Fresh in the same order as the overwrites, for the rate; then whatever of it was not hit.
  Load first{volume, kWriteBytes, writes, 32, at_random(volume_bytes, kWriteBytes, 1), true};
  SQ_TRY(const auto fresh, run_writes(rig, content, std::move(first), true));
  SQ_TRY(fill_volume(rig, content, volume, volume_bytes, true));

  std::uint64_t disk_bytes = 0, client_bytes = 0, moved_bytes = 0, used_max = 0, refused = 0;
  double cpu_s = 0, wall_s = 0;
  const auto rounds = static_cast<int>(settings.scaled(kOverwrites, 1));
  for (int round = 1; round <= rounds; ++round) {
    Load load{volume,
              kWriteBytes,
              writes,
              32,
              at_random(volume_bytes, kWriteBytes, 100 + static_cast<std::uint64_t>(round)),
              true};
    SQ_TRY(const auto spent, run_writes(rig, content, std::move(load), true));
    disk_bytes += spent.disk_bytes() + spent.index_bytes();
    client_bytes += spent.client_bytes;
    moved_bytes += spent.after.moved_bytes - spent.before.moved_bytes;
    refused += spent.refused;
    cpu_s += spent.use.cpu_s;
    wall_s += spent.use.wall_s;
    used_max = std::max(used_max, used_bytes(rig));
    if (round != 3 && round != rounds) continue;
    const auto after = "after " + std::to_string(round) + " overwrites, ";
    const auto client = static_cast<double>(client_bytes);
    report.number(after + "disk bytes per client byte", static_cast<double>(disk_bytes) / client,
                  "");
    report.number(after + "moved bytes per client byte", static_cast<double>(moved_bytes) / client,
                  "");
    tell_disk_bytes(report, "overwrite " + std::to_string(round) + ",", spent);
    tell(report, "overwrite " + std::to_string(round) + ",", spent);
  }
  const auto writes_all = static_cast<double>(rounds) * static_cast<double>(writes);
  report.number("CPU per write of 16 KiB", cpu_s / writes_all * 1e6, "us");
  report.number("checkpoints", static_cast<double>(rig.engine().stats().checkpoints), "");
  report.at_most("space used against live data",
                 static_cast<double>(used_max) / static_cast<double>(volume_bytes), 1.3, "x");
  report.at_most("writes refused for want of room", static_cast<double>(refused), 0, "");
  report.at_least("write rate per CPU against fresh",
                  fresh.cpu_per_request_s() / (cpu_s / writes_all), 0.3, "x");
  report.at_least("write rate against fresh",
                  fresh.use.wall_s / static_cast<double>(fresh.requests) / (wall_s / writes_all),
                  0.3, "x");
  return {};
}

}  // namespace

Result<> run_cleaning(const Settings& settings, Report& report) {
  RigOptions options;
  options.dir = settings.dir;
  options.disk_bytes = 256 * kMiB;
  // As on larger disks, little of a segment is left over at its end.
  options.format.chunk_bytes = 2 * kMiB;
  options.format.journal_bytes = 32 * kMiB;
  options.engine.write_buffer_bytes = 16 * kMiB;
  SQ_TRY(auto rig, Rig::make(options));
  SQ_TRY(rig->open());
  auto done = overwrite(*rig, settings, report);
  if (done.failed_with(Code::kNoSpace)) {
    report.at_most("clients that were refused until they gave up", 1, 0, "");
    done = {};
  }
  SQ_TRY(std::move(done));
  return rig->close();
}

}  // namespace square::bench
