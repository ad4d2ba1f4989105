// Rebuild and scrub.
#include "bench/limits.hpp"
#include "bench/load.hpp"
#include "bench/runs.hpp"

namespace square::bench {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr auto kLook = 20ms;
constexpr auto kPatience = 300s;

// Looks again and again until `done` says so.
Async<> wait_until(Rig& rig, std::function<bool(const pool::PoolStatus&)> done) {
  const auto until = rig.loop().now() + kPatience;
  while (!done(rig.engine().pool().status())) {
    if (rig.loop().now() > until) co_return Error{Code::kTimeout, "it does not come to an end"};
    co_await env::sleep_for(rig.loop(), kLook);
  }
  co_return {};
}

Result<std::unique_ptr<Rig>> filled_rig(const Settings& settings, unsigned disks,
                                        std::uint64_t volume_bytes) {
  auto options = usual_rig(settings);
  options.disks = disks;
  SQ_TRY(auto rig, Rig::make(options));
  SQ_TRY(rig->open());
  Content content;
  SQ_TRY(const auto volume, make_volume(*rig, "v", volume_bytes));
  SQ_TRY(fill_volume(*rig, content, volume, volume_bytes, true));
  return rig;
}

}  // namespace

Result<> run_rebuild(const Settings& settings, Report& report) {
  SQ_TRY(auto rig, filled_rig(settings, 11, settings.scaled(1024 * kMiB, 16 * kMiB)));
  SQ_TRY(const double limit, bare_rebuild_1mib_s({settings.dir + "/limits", settings.small}));
  auto& pool = rig->engine().pool();
  const auto before = pool.status();
  const auto began = usage_now();
  SQ_TRY(rig->run(pool.fail_disk(Slot(3), "lost for this run")));
  SQ_TRY(rig->run(wait_until(*rig, [](const pool::PoolStatus& status) {
    return status.members_live == 10 && !status.rebuild.active && status.spares_free == 0 &&
           status.members_missing == 0;
  })));
  const auto used = usage_now() - began;
  const auto after = pool.status();
  const auto mib =
      static_cast<double>(after.written_rebuild_bytes - before.written_rebuild_bytes) / kMiB;
  if (mib == 0 || after.rebuild.stripes_lost != 0)
    return Error{Code::kDataLoss, "the spare was not filled"};
  report.number("rebuilt", mib, "MiB");
  report.number("rate", mib / used.wall_s, "MiB/s");
  report.number("CPU per rebuilt MiB", used.cpu_s / mib * 1e6, "us");
  report.number("limit: read and hash 8 MiB, recover, write 1 MiB", limit * 1e6,
                "us of CPU per MiB");
  report.at_most("CPU against the limit", used.cpu_s / mib / limit, 1.5, "x");
  return rig->close();
}

Result<> run_scrub(const Settings& settings, Report& report) {
  SQ_TRY(auto rig, filled_rig(settings, 10, settings.scaled(1024 * kMiB, 16 * kMiB)));
  auto& pool = rig->engine().pool();
  const auto began = usage_now();
  SQ_TRY(pool.start_scrub());
  SQ_TRY(rig->run(
      wait_until(*rig, [](const pool::PoolStatus& status) { return !status.scrub.active; })));
  const auto used = usage_now() - began;
  const auto status = pool.status();
  if (status.corruptions_found != 0) return Error{Code::kCorrupt, "the scrub found damage"};
  const auto mib = static_cast<double>(status.written_data_bytes + status.written_parity_bytes +
                                       status.written_checkpoint_bytes) /
                   kMiB;
  report.number("checked", mib, "MiB");
  report.number("rate", mib / used.wall_s, "MiB/s");
  report.number("CPU per MiB", used.cpu_s / mib * 1e6, "us");
  return rig->close();
}

}  // namespace square::bench
