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
  }
  return {};
}

std::optional<SegmentId> Engine::Impl::victim() {
  const auto closed = core_.pool->closed_segments();
  for (const auto segment : damaged_) {
    if (std::find(closed.begin(), closed.end(), segment) == closed.end()) continue;
    damaged_.erase(segment);
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
    if (std::find(closed.begin(), closed.end(), use.segment) == closed.end()) continue;
    if (best == nullptr || use.live_bytes * best->total_bytes < best->live_bytes * use.total_bytes)
      best = &use;
  }
  return best == nullptr ? std::nullopt : std::optional(best->segment);
}

Async<bool> Engine::Impl::clean_some() {
  const auto segment = victim();
  if (!segment) {
    // Segments may have died by themselves: a checkpoint brings them back.
    const auto status = core_.pool->status();
    if (status.segments_free < kFreeSegmentsLow) {
      SQ_CO_TRY(const auto uses, core_.index->segment_uses());
      for (const auto& use : uses) want_checkpoint_ = want_checkpoint_ || use.live_bytes == 0;
    }
    co_return false;
  }
  const Busy busy(core_.options.activities, Activity::kCleaning);
  SQ_CO_TRY(auto live, core_.index->live_extents(*segment));
  const auto bytes_max = stripe_fill_bytes(*core_.pool);
  while (!live.empty()) {
    std::vector<format::MovedExtent> some;
    std::uint64_t bytes = 0;
    while (!live.empty() && (some.empty() || bytes + live.back().from.stored_bytes <= bytes_max)) {
      bytes += live.back().from.stored_bytes;
      some.push_back(std::move(live.back()));
      live.pop_back();
    }
    SQ_CO_TRY(co_await move_extents(std::move(some)));
    if (stopping_) co_return false;
  }
  SQ_PROBE("a segment was cleaned");
  want_checkpoint_ = true;  // only then it is free
  co_return true;
}

Async<> Engine::Impl::move_extents(std::vector<format::MovedExtent> extents) {
  std::vector<pool::StripeItem> items;
  for (const auto& extent : extents) {
    const pool::Pool::Verify verify = [&extent](Bytes bytes) {
      return codec::verify_stored(bytes, extent.from).ok();
    };
    SQ_CO_TRY(auto stored,
              co_await core_.pool->read_place(extent.from.place, extent.from.stored_bytes, verify));
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
  }
  SQ_CO_TRY(auto placed, co_await place_items(*core_.pool, pool::StripeClass::kCleaned,
                                              std::move(items), kStripeAttempts));
  format::MoveRecord record;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    extents[i].to = placed.places[i];
    record.extents.push_back(std::move(extents[i]));
  }
  record.stripes = placed.stripes;
  SQ_CO_TRY(auto hold, co_await append_held(core_, record, journal::Reserve::kPlacement));
  SQ_CO_TRY(core_.index->apply_move(record, core_.index_point()));
  for (const auto& stripe : placed.stripes) core_.pool->stripe_is_indexed(stripe);
  core_.ledger.applied(std::move(hold));
  co_return {};
}

}  // namespace square::store
