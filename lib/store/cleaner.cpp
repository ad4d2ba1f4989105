// Space comes back by cleaning: live extents leave mostly dead segments, and a segment that nothing
// names is released. No stripe is ever updated in place.
#include <algorithm>

#include "base/probe.hpp"
#include "codec/seal.hpp"
#include "store/engine_impl.hpp"
#include "store/local_leg.hpp"

namespace square::store {

namespace {

constexpr std::uint32_t kFreeSegmentsLow = 6;
constexpr std::uint32_t kFreePercentLow = 15;  // below it, cleaning begins
constexpr std::uint64_t kLivePercentMax = 90;  // a fuller segment gives too little back

}  // namespace

// A segment is free when its live bytes are 0 *and* no mapping, present or history, names any of
// its extents. The pool reuses it after the next checkpoint, and after its readers.
Result<> Engine::Impl::reclaim() {
  SQ_TRY(const auto uses, core_.index->segment_uses());
  std::map<SegmentId, std::uint64_t> live_bytes;
  for (const auto& use : uses) live_bytes[use.segment] += use.live_bytes;
  for (const auto segment : core_.pool->closed_segments()) {
    if (live_bytes[segment] != 0) continue;
    SQ_TRY(const auto live, core_.index->live_extents(segment));
    if (!live.empty())
      return Error{Code::kCorrupt, "the index counts no live bytes in segment " +
                                       std::to_string(segment.value) +
                                       ", yet mappings name extents in it"};
    SQ_TRY(core_.index->forget_segment(segment));
    core_.pool->release_segment(segment);
    stuck_.erase(segment);
  }
  return {};
}

std::optional<SegmentId> Engine::Impl::victim() {
  const auto closed = core_.pool->closed_segments();
  for (const auto segment : damaged_) {
    if (std::find(closed.begin(), closed.end(), segment) == closed.end()) continue;
    damaged_.erase(segment);
    if (stuck_.contains(segment)) return std::nullopt;
    SQ_PROBE("a damaged segment is cleaned");
    return segment;
  }
  const auto status = core_.pool->status();
  const auto low = std::max(kFreeSegmentsLow, status.geometry.chunks * kFreePercentLow / 100);
  if (status.segments_free >= low) return std::nullopt;
  const auto uses = core_.index->segment_uses();
  if (!uses.ok()) return std::nullopt;
  const index::SegmentUse* best = nullptr;
  for (const auto& use : *uses) {
    if (use.live_bytes == 0 || use.live_bytes * 100 > use.total_bytes * kLivePercentMax) continue;
    if (stuck_.contains(use.segment)) continue;
    if (std::find(closed.begin(), closed.end(), use.segment) == closed.end()) continue;
    if (best == nullptr || use.live_bytes * best->total_bytes < best->live_bytes * use.total_bytes)
      best = &use;
  }
  return best == nullptr ? std::nullopt : std::optional(best->segment);
}

// Segments may have died by themselves: a checkpoint brings them back.
Result<> Engine::Impl::want_dead_segments() {
  SQ_TRY(const auto uses, core_.index->segment_uses());
  for (const auto& use : uses) want_checkpoint_ = want_checkpoint_ || use.live_bytes == 0;
  return {};
}

Async<bool> Engine::Impl::clean_some() {
  const auto segment = victim();
  if (!segment) {
    if (core_.pool->status().segments_free < kFreeSegmentsLow) SQ_CO_TRY(want_dead_segments());
    co_return false;
  }
  SQ_CO_TRY(auto live, core_.index->live_extents(*segment));
  const auto bytes_max = stripe_fill_bytes(*core_.pool);
  const auto wanted = live.size();
  std::size_t moved = 0;
  while (!live.empty()) {
    std::vector<format::MovedExtent> some;
    std::uint64_t bytes = 0;
    while (!live.empty() && (some.empty() || bytes + live.back().from.stored_bytes <= bytes_max)) {
      bytes += live.back().from.stored_bytes;
      some.push_back(std::move(live.back()));
      live.pop_back();
    }
    SQ_CO_TRY(const auto now, co_await move_extents(std::move(some)));
    moved += now;
    if (stopping_) co_return false;
  }
  if (moved < wanted) {
    SQ_PROBE("a segment could not be cleaned whole");
    stuck_.insert(*segment);
  }
  SQ_PROBE("a segment was cleaned");
  want_checkpoint_ = want_checkpoint_ || moved > 0;  // only then it is free
  co_return moved > 0;
}

// What is lost stays where it is: it is said to whoever reads it, and nobody else has to suffer for
// it. What is gone meanwhile (a checkpoint by hand may have freed the segment) needs no new place.
Async<std::size_t> Engine::Impl::move_extents(std::vector<format::MovedExtent> extents) {
  format::MoveRecord record;
  std::vector<pool::StripeItem> items;
  for (auto& extent : extents) {
    const pool::Pool::Verify verify = [&extent](Bytes bytes) {
      return codec::verify_stored(bytes, extent.from).ok();
    };
    auto read =
        co_await core_.pool->read_place(extent.from.place, extent.from.stored_bytes, verify);
    if (!read.ok() && (read.code() == Code::kDataLoss || read.code() == Code::kNotFound)) continue;
    SQ_CO_TRY(auto stored, std::move(read));
    pool::StripeItem item;
    item.extent = {extent.group,
                   extent.volume,
                   extent.offset,
                   extent.from.plain_bytes,
                   extent.from.stored_bytes,
                   extent.from.id,
                   0};
    core_.stats.moved_bytes += stored.size();
    item.bytes.push_back(std::move(stored));
    items.push_back(std::move(item));
    record.extents.push_back(std::move(extent));
  }
  if (items.empty()) co_return std::size_t{0};
  SQ_CO_TRY(auto placed, co_await place_items(*core_.pool, pool::StripeClass::kCleaned,
                                              std::move(items), kStripeAttempts));
  for (std::size_t i = 0; i < record.extents.size(); ++i) record.extents[i].to = placed.places[i];
  record.stripes = placed.stripes;
  SQ_CO_TRY(auto hold, co_await append_held(core_, record, journal::Reserve::kPlacement));
  SQ_CO_TRY(core_.index->apply_move(record, core_.index_point()));
  for (const auto& stripe : placed.stripes) core_.pool->stripe_is_indexed(stripe);
  core_.ledger.applied(std::move(hold));
  co_return record.extents.size();
}

}  // namespace square::store
