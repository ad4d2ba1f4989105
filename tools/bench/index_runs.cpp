// The index alone.
#include <algorithm>

#include "bench/index_fill.hpp"
#include "bench/limits.hpp"
#include "bench/runs.hpp"
#include "bench/usage.hpp"

namespace square::bench {

namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kGiB = 1u << 30;

std::vector<std::uint64_t> random_offsets(std::uint64_t count, std::uint64_t volume_bytes,
                                          std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t i = 0; i < count; ++i)
    offsets.push_back(random() % (volume_bytes / kBlockBytes) * kBlockBytes);
  return offsets;
}

struct Listed {
  std::uint64_t changes = 0, bytes = 0;
  double cpu_s = 0;
};

Result<Listed> list_changes(const index::Index& index, Sequence from, Sequence to) {
  constexpr std::size_t kChangesAtOnce = 1000;
  Listed listed;
  const auto began = usage_now();
  index::Index::Cursor cursor;
  while (true) {
    SQ_TRY(const auto changes, index.diff(FilledIndex::kGroup, from, to, cursor, kChangesAtOnce));
    if (changes.empty()) break;
    for (const auto& change : changes) listed.bytes += change.piece.length;
    listed.changes += changes.size();
    const auto& last = changes.back();
    cursor = {last.volume, last.piece.offset + last.piece.length};
  }
  listed.cpu_s = (usage_now() - began).cpu_s;
  return listed;
}

}  // namespace

Result<> run_index(const Settings& settings, Report& report) {
  const auto volume_bytes = settings.scaled(2 * kGiB, 16 * kMiB);
  const auto count = settings.scaled(100'000, 500);
  SQ_TRY(const double put, bare_put_s({settings.dir + "/limits", settings.small}, count));
  report.number("limit: one put", put * 1e6, "us of CPU");
  for (const std::size_t batch : {1u, 32u, 256u}) {
    FilledIndex filled(settings.dir + "/index");
    SQ_TRY(filled.open());
    SQ_TRY(filled.write_sequential(VolumeId(1), volume_bytes / (64u << 10), 64u << 10));
    const auto writes = batch == 1 ? count / 10 : count;
    const auto offsets = random_offsets(writes, volume_bytes, batch);
    const auto began = usage_now();
    SQ_TRY(filled.write(VolumeId(1), offsets, kBlockBytes, batch));
    SQ_TRY(filled.file_bytes());
    const auto used = usage_now() - began;
    const auto each = used.cpu_s / static_cast<double>(writes);
    const auto what = "4 KiB writes, batches of " + std::to_string(batch);
    report.number(what + ", CPU per write", each * 1e6, "us");
    report.number(what + ", against one put", each / put, "x");
    if (batch != 256) continue;
    const auto asked = random_offsets(count, volume_bytes, 77);
    const auto before = usage_now();
    for (const auto offset : asked)
      SQ_TRY(filled.index().lookup(FilledIndex::kGroup, VolumeId(1), offset, kBlockBytes));
    report.number("lookup of 4 KiB, CPU",
                  (usage_now() - before).cpu_s / static_cast<double>(count) * 1e6, "us");
  }
  return {};
}

Result<> run_diff(const Settings& settings, Report& report) {
  std::vector<double> cost_per_change;
  double worst = 0;
  for (const std::uint64_t gib : {1, 2, 6}) {
    const auto volume_bytes = settings.scaled(gib * kGiB, gib * 8 * kMiB);
    FilledIndex filled(settings.dir + "/index");
    SQ_TRY(filled.open());
    SQ_TRY(filled.write_sequential(VolumeId(1), volume_bytes / (64u << 10), 64u << 10));
    SQ_TRY(const auto from, filled.snapshot());
    const auto offsets = random_offsets(volume_bytes / kBlockBytes / 100, volume_bytes, gib);
    SQ_TRY(filled.write(VolumeId(1), offsets, kBlockBytes));
    SQ_TRY(const auto to, filled.snapshot());
    auto distinct = offsets;
    std::ranges::sort(distinct);
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    const auto changed = static_cast<double>(distinct.size() * kBlockBytes);
    SQ_TRY(const auto listed, list_changes(filled.index(), from, to));
    const auto what = std::to_string(gib) + " GiB, ";
    report.number(what + "changed", changed / kMiB, "MiB");
    report.number(what + "ranges listed", static_cast<double>(listed.changes), "");
    report.number(what + "CPU", listed.cpu_s * 1e3, "ms");
    cost_per_change.push_back(listed.cpu_s / static_cast<double>(distinct.size()));
    report.number(what + "CPU per changed block", cost_per_change.back() * 1e6, "us");
    worst = std::max(worst, static_cast<double>(listed.bytes) / changed);
  }
  report.at_most("bytes listed against bytes changed", worst, 1.05, "x");
  report.at_most("CPU per changed block, 6 GiB against 1 GiB",
                 cost_per_change.back() / cost_per_change.front(), 1.5, "x");
  return {};
}

}  // namespace square::bench
