// What an engine costs that stands there: memory, and CPU when nobody asks.
#include "bench/index_fill.hpp"
#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kExtentBytes = 64u << 10;
constexpr std::uint64_t kExtentsPerTib = (1ull << 40) / kExtentBytes;

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / kMiB; }

}  // namespace

Result<> run_memory(const Settings& settings, Report& report) {
  RigOptions options;
  options.dir = settings.dir;
  options.disk_bytes = settings.scaled(640 * kMiB, 256 * kMiB);
  options.allocate = false;
  SQ_TRY(auto rig, Rig::make(options));
  SQ_TRY(rig->open());
  Content content;
  const auto step = settings.scaled(768 * kMiB, 8 * kMiB);
  SQ_TRY(const auto volume, make_volume(*rig, "v", 4 * step));
  restart_peak();
  std::vector<std::uint64_t> resident;
  for (std::uint64_t i = 0; i < 4; ++i) {
    Load fill{volume, static_cast<std::uint32_t>(kMiB), step / kMiB, 8,
              [&](std::uint64_t at) { return i * step + at * kMiB; }};
    SQ_TRY(run_writes(*rig, content, std::move(fill), false));
    Load blocks{volume, 4096, settings.scaled(10'000, 100), 32, at_random((i + 1) * step, 4096, i)};
    SQ_TRY(run_writes(*rig, content, std::move(blocks), true));
    resident.push_back(resident_bytes());
    report.number(
        "resident with " + std::to_string(static_cast<int>(mib((i + 1) * step))) + " MiB written",
        mib(resident.back()), "MiB");
  }
  report.at_most("peak resident", mib(resident_peak_bytes()), 256, "MiB");
  report.at_most("resident at 4 parts against 2", mib(resident[3]) / mib(resident[1]), 1.15, "x");
  SQ_TRY(rig->close());
  rig.reset();

  const auto extents = settings.scaled(500'000, 2'000);
  FilledIndex filled(settings.dir + "/index-alone");
  SQ_TRY(filled.open());
  SQ_TRY(filled.write_sequential(VolumeId(1), extents, kExtentBytes));
  SQ_TRY(const auto bytes, filled.file_bytes());
  const auto per_extent = static_cast<double>(bytes) / static_cast<double>(extents);
  report.number("index bytes per extent", per_extent, "");
  report.at_most("index per TiB at extents of 64 KiB",
                 per_extent * static_cast<double>(kExtentsPerTib) / (1ull << 30), 1.5, "GiB");
  return {};
}

Result<> run_idle(const Settings& settings, Report& report) {
  RigOptions options;
  options.dir = settings.dir;
  options.disks = 12;
  options.disk_bytes = 256 * kMiB;
  SQ_TRY(auto rig, Rig::make(options));
  SQ_TRY(rig->open());
  Content content;
  const auto bytes = settings.scaled(64 * kMiB, 4 * kMiB);
  SQ_TRY(const auto volume, make_volume(*rig, "v", bytes));
  SQ_TRY(fill_volume(*rig, content, volume, bytes, true));
  const auto rest = [](Rig& of, env::Duration time) -> Async<> {
    co_await env::sleep_for(of.loop(), time);
    co_return {};
  };
  SQ_TRY(rig->run(rest(*rig, 1s)));
  const auto began = usage_now();
  SQ_TRY(rig->run(rest(*rig, settings.small ? 1s : 20s)));
  const auto used = usage_now() - began;
  report.number("CPU per second", used.cpu_s / used.wall_s * 1e3, "ms");
  report.at_most("share of a core", used.cpu_s / used.wall_s * 100, 0.5, "%");
  return rig->close();
}

}  // namespace square::bench
