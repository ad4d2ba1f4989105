// The lane and the stripes without an engine over them.
#include "bench/content.hpp"
#include "bench/rig.hpp"
#include "bench/runs.hpp"
#include "bench/usage.hpp"
#include "format/journal_batch.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint8_t kCopies = 3;
constexpr Epoch kEpoch{1, 7};

// A pool with nothing on it, and a lane that serves.
struct OpenPool {
  std::unique_ptr<pool::Pool> pool;
  std::unique_ptr<journal::Lane> lane;
};

Async<OpenPool> open_pool(Rig& rig) {
  OpenPool opened;
  SQ_CO_TRY(opened.pool, co_await pool::Pool::open(rig.env(), rig.pool_options()));
  SQ_CO_TRY(co_await opened.pool->load_checkpoint());
  journal::LaneConfig config;
  config.pool = opened.pool->id();
  config.ring_bytes = opened.pool->geometry().journal_bytes;
  config.copies = kCopies;
  opened.lane = std::make_unique<journal::Lane>(rig.env(), *opened.pool, config);
  SQ_CO_TRY(co_await opened.lane->recover({}));
  SQ_CO_TRY(co_await opened.lane->restore_copies());
  opened.lane->start(kEpoch, [](const journal::DurableRecord&) {});
  opened.pool->serve(kEpoch.number, nullptr,
                     [lane = opened.lane.get()](Slot slot) { lane->slot_lost(slot); });
  co_return std::move(opened);
}

Async<> close_pool(OpenPool& opened) {
  co_await opened.lane->stop();
  co_await opened.pool->stop();
  co_return {};
}

struct Appending {
  Rig& rig;
  journal::Lane& lane;
  Content& content;
  std::size_t record_bytes;
  std::uint64_t left;
  Samples latency_us;
  Result<> failed;
};

Task<void> appender(Appending* all) {
  auto& loop = all->rig.loop();
  while (all->left > 0 && all->failed.ok()) {
    --all->left;
    BufferChain record{all->content.draw(all->record_bytes).data};
    const auto began = loop.now();
    const auto done = co_await all->lane.append(std::move(record));
    all->latency_us.add(static_cast<double>((loop.now() - began).count()) / 1e3);
    if (!done.ok()) all->failed = done.error();
    all->lane.set_tail(all->lane.durable());
  }
}

Async<> append_all(Appending& all, unsigned depth) {
  env::Scope scope(all.rig.loop());
  for (unsigned i = 0; i < depth; ++i) scope.spawn(appender(&all));
  co_await scope.join();
  co_return all.failed;
}

// The batch made and written to as many disks, by nobody but the disks.
Async<> bare_commit(Rig& rig, std::vector<std::unique_ptr<env::Disk>>& disks, Content& content,
                    std::size_t record_bytes, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::vector<BufferChain> records{{content.draw(record_bytes).data}};
    const auto batch = format::encode_journal_batch({}, records);
    for (const auto& disk : disks) {
      SQ_CO_TRY(co_await disk->write(i % 256 * 2 * kMiB / 256 / kBlockBytes * kBlockBytes + kMiB,
                                     {batch.bytes}));
      SQ_CO_TRY(co_await disk->flush());
    }
  }
  static_cast<void>(rig);
  co_return {};
}

Async<std::vector<std::unique_ptr<env::Disk>>> open_disks(Rig& rig, unsigned count) {
  std::vector<std::unique_ptr<env::Disk>> disks;
  for (unsigned i = 0; i < count; ++i) {
    SQ_CO_TRY(auto disk, co_await rig.env().disks.open(rig.disk_path(i), {}));
    disks.push_back(std::move(disk));
  }
  co_return std::move(disks);
}

Result<double> bare_commit_s(const RigOptions& options, std::size_t record_bytes,
                             std::uint64_t count) {
  SQ_TRY(auto rig, Rig::make(options));
  Content content;
  SQ_TRY(auto disks, rig->run(open_disks(*rig, kCopies)));
  const auto began = usage_now();
  SQ_TRY(rig->run(bare_commit(*rig, disks, content, record_bytes, count)));
  return (usage_now() - began).cpu_s / static_cast<double>(count);
}

}  // namespace

Result<> run_journal(const Settings& settings, Report& report) {
  const auto options = usual_rig(settings);
  const auto count = settings.scaled(10'000, 100);
  for (const std::size_t bytes : {4u << 10, 64u << 10}) {
    const auto size = std::to_string(bytes >> 10) + " KiB records";
    auto bare = options;
    bare.dir += "/limit";
    SQ_TRY(const double limit, bare_commit_s(bare, bytes, count / 4));
    report.number("limit: " + size + ", one batch on 3 disks", limit * 1e6, "us of CPU");
    for (const unsigned depth : {1u, 32u}) {
      SQ_TRY(auto rig, Rig::make(options));
      SQ_TRY(auto opened, rig->run(open_pool(*rig)));
      Content content;
      Appending all{*rig, *opened.lane, content, bytes, count, {}, {}};
      const auto began = usage_now();
      SQ_TRY(rig->run(append_all(all, depth)));
      const auto used = usage_now() - began;
      const auto what = size + ", depth " + std::to_string(depth) + ",";
      const auto records = static_cast<double>(count);
      report.number(what + " records", records / used.wall_s, "1/s");
      report.latency(what, all.latency_us);
      report.number(what + " CPU per record", used.cpu_s / records * 1e6, "us");
      report.number(what + " CPU against the limit", used.cpu_s / records / limit, "x");
      report.number(what + " records per batch",
                    records / static_cast<double>(opened.lane->stats().batches), "");
      report.number(what + " disk bytes per record byte",
                    static_cast<double>(opened.lane->stats().written_bytes) / records /
                        static_cast<double>(bytes),
                    "");
      SQ_TRY(rig->run(close_pool(opened)));
    }
  }
  return {};
}

Result<> run_destage(const Settings& settings, Report& report) {
  const auto options = usual_rig(settings);
  SQ_TRY(auto rig, Rig::make(options));
  SQ_TRY(auto opened, rig->run(open_pool(*rig)));
  Content content;
  for (const std::uint32_t bytes : {4u << 10, 64u << 10}) {
    const auto stripe_bytes = opened.pool->stripe_bytes_max() / 8 * 7;
    const auto items = stripe_bytes / bytes;
    const auto stripes = settings.scaled(24, 2);
    std::vector<pool::StripeItem> stripe(items);
    for (std::size_t i = 0; i < items; ++i) {
      stripe[i].bytes = {content.draw(bytes).data};
      stripe[i].extent.plain_bytes = bytes;
    }
    const auto began = usage_now();
    for (std::uint64_t i = 0; i < stripes; ++i) {
      auto written = rig->run(opened.pool->write_stripe(pool::StripeClass::kFresh, stripe));
      if (!written.ok()) return std::move(written).error();
      opened.pool->forget_stripe(written->stripe);
    }
    const auto used = usage_now() - began;
    const auto mib = static_cast<double>(stripes * items * bytes) / kMiB;
    const auto what = "stripes of " + std::to_string(bytes >> 10) + " KiB items";
    report.number(what + ", rate", mib / used.wall_s, "MiB/s");
    report.number(what + ", CPU per MiB", used.cpu_s / mib * 1e6, "us");
  }
  return rig->run(close_pool(opened));
}

}  // namespace square::bench
