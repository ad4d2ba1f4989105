// Checkpoints, and starts that have something to recover.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;

// Another process makes the pool, and is killed while it writes.
Result<> crash(const Settings& settings) {
  std::fflush(nullptr);
  const auto child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "square-bench", kFillAndDie, settings.dir.c_str(),
          settings.small ? "small" : "full", nullptr);
    _exit(1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
    return Error{Code::kUnavailable, "the process that was to be killed ended by itself"};
  return {};
}

}  // namespace

Result<> run_checkpoint(const Settings& settings, Report& report) {
  const auto volume_bytes = settings.scaled(512 * kMiB, 8 * kMiB);
  SQ_TRY(auto rig, Rig::make(usual_rig(settings)));
  SQ_TRY(rig->open());
  Content content;
  SQ_TRY(const auto volume, make_volume(*rig, "v", volume_bytes, 4096));
  SQ_TRY(fill_volume(*rig, content, volume, volume_bytes, false));
  const auto tell_one = [&](const std::string& what, std::uint64_t changes) -> Result<> {
    Load load{volume, 4096, changes, 32, at_random(volume_bytes, 4096)};
    SQ_TRY(run_writes(*rig, content, std::move(load), false));
    // With the destaging of what the last writes left in the buffer.
    const auto before = rig->engine().stats();
    const auto began = usage_now();
    SQ_TRY(rig->run(rig->engine().checkpoint()));
    const auto used = usage_now() - began;
    const auto after = rig->engine().stats();
    report.number(what + ", time", used.wall_s * 1e3, "ms");
    report.number(what + ", CPU", used.cpu_s * 1e3, "ms");
    report.number(what + ", written to the pool",
                  static_cast<double>(after.pool.written_checkpoint_bytes -
                                      before.pool.written_checkpoint_bytes) /
                      kMiB,
                  "MiB");
    return {};
  };
  report.number("extents in the index", static_cast<double>(volume_bytes) / 4096, "");
  SQ_TRY(tell_one("first", 1));
  SQ_TRY(tell_one("again, nothing changed", 1));
  SQ_TRY(tell_one("after 1 % changed", volume_bytes / 4096 / 100));
  return rig->close();
}

// Writes until the buffer is as good as full, and is killed in the middle of it.
Result<> fill_and_die(const Settings& settings) {
  constexpr std::uint32_t kWriteBytes = 16u << 10;
  constexpr unsigned kDepth = 8192;  // more than the buffer holds
  const auto volume_bytes = settings.scaled(1024 * kMiB, 64 * kMiB);
  const auto writes_min = settings.scaled(20'000, 5'000);
  SQ_TRY(auto rig, Rig::make(usual_rig(settings)));
  SQ_TRY(rig->open());
  SQ_TRY(const auto volume, make_volume(*rig, "v", volume_bytes));
  Content content;
  auto next = at_random(volume_bytes, kWriteBytes);
  Load load{volume, kWriteBytes, 10 * writes_min, kDepth, [&](std::uint64_t i) {
              const auto stats = rig->engine().stats();
              const bool full = stats.write_buffer_bytes >= stats.write_buffer_bytes_max / 100 * 95;
              if (i > writes_min && full) kill(getpid(), SIGKILL);
              return next(i);
            }};
  SQ_TRY(run_writes(*rig, content, std::move(load), false));
  return Error{Code::kTimeout, "the write buffer was never full"};
}

Result<> run_recovery(const Settings& settings, Report& report) {
  SQ_TRY(crash(settings));
  const auto options = usual_rig(settings);
  {
    SQ_TRY(auto rig, Rig::take_over(options));
    const auto began = usage_now();
    SQ_TRY(rig->open());
    const auto used = usage_now() - began;
    const auto stats = rig->engine().stats();
    report.number("after kill -9, operations from the journal",
                  static_cast<double>(stats.recovered_operations), "");
    report.number("after kill -9, in the write buffer",
                  static_cast<double>(stats.write_buffer_bytes) / kMiB, "MiB");
    report.number("after kill -9, journal in use",
                  static_cast<double>(stats.lane_used_bytes) / kMiB, "MiB");
    report.number("after kill -9, CPU of the start", used.cpu_s, "s");
    report.at_most("start after kill -9 with a full write buffer", used.wall_s, 1, "s");

    // Extents of 4 KiB, many of them, and the rest in the journal.
    Content content;
    const auto bytes = settings.scaled(768 * kMiB, 8 * kMiB);
    SQ_TRY(const auto volume, make_volume(*rig, "many", bytes, 4096));
    SQ_TRY(fill_volume(*rig, content, volume, bytes, true));
    SQ_TRY(rig->close());
  }
  std::error_code ignored;
  std::filesystem::remove_all(options.dir + "/index", ignored);
  SQ_TRY(auto rig, Rig::take_over(options));
  const auto began = usage_now();
  SQ_TRY(rig->open());
  const auto used = usage_now() - began;
  if (!rig->engine().stats().index_from_pool)
    return Error{Code::kNotFound, "the index did not come from the pool"};
  SQ_TRY(const auto volumes, rig->run(rig->engine().list_volumes(false)));
  double extents = 0;
  for (const auto& volume : volumes)
    extents += static_cast<double>(volume.used_bytes) / (volume.name == "many" ? 4096 : 16384);
  report.number("index from the pool, extents", extents, "");
  report.number("index from the pool, time", used.wall_s * 1e3, "ms");
  report.number("index from the pool, CPU", used.cpu_s * 1e3, "ms");
  report.at_least("index from the pool, extents per second", extents / used.wall_s, 500'000, "1/s");
  return rig->close();
}

}  // namespace square::bench
