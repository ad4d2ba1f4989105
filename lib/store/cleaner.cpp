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
// its extents, or when nothing in it ever had a name. The pool reuses it after the next checkpoint,
// and after its readers. Only segments that have lost their last byte are looked at; one that was
// dead because its newest stripe had not come to the index may have got live bytes meanwhile.
Async<> Engine::Impl::reclaim() {
  const auto is_dead = [this](SegmentId segment) {
    return core_.pool->is_closed(segment) && core_.index->is_dead(segment);
  };
  for (const auto segment : core_.index->dead_segments()) {
    if (!is_dead(segment)) continue;
    // What the segment says of itself is asked too. Without a summary, the index's list decides.
    const auto summary = co_await core_.pool->read_summary(segment);
    SQ_CO_TRY(core_.alive());
    if (!is_dead(segment)) continue;
    SQ_CO_TRY(auto live, core_.index->live_extents(segment));
    if (live.empty() && summary.ok()) {
      SQ_PROBE("a dead segment's summary was looked up");
      SQ_CO_TRY(live, core_.index->live_extents(summary->stripes));
    }
    if (!live.empty())
      co_return Error{Code::kCorrupt, "the index counts no live bytes in segment " +
                                          std::to_string(segment.value) +
                                          ", yet mappings name extents in it"};
    SQ_CO_TRY(core_.index->forget_segment(segment));
    core_.pool->release_segment(segment);
    stuck_.erase(segment);
  }
  for (const auto segment : core_.pool->barren_segments()) core_.pool->release_segment(segment);
  co_return {};
}

std::optional<SegmentId> Engine::Impl::victim() {
  for (const auto segment : damaged_) {
    if (!core_.pool->is_closed(segment) || stuck_.contains(segment)) continue;
    damaged_.erase(segment);
    SQ_PROBE("a damaged segment is cleaned");
    return segment;
  }
  const auto room = core_.pool->room();
  if (room.segments_free >= std::max(kFreeSegmentsLow, room.segments * kFreePercentLow / 100))
    return std::nullopt;
  const auto uses = core_.index->segment_uses();
  if (!uses.ok()) return std::nullopt;
  const index::SegmentUse* best = nullptr;
  for (const auto& use : *uses) {
    if (use.live_bytes == 0 || use.live_bytes * 100 > use.total_bytes * kLivePercentMax) continue;
    if (!core_.pool->is_closed(use.segment) || stuck_.contains(use.segment)) continue;
    if (best == nullptr || use.live_bytes * best->total_bytes < best->live_bytes * use.total_bytes)
      best = &use;
  }
  return best == nullptr ? std::nullopt : std::optional(best->segment);
}

// Segments may have died by themselves: a checkpoint brings them back.
void Engine::Impl::want_dead_segments() {
  for (const auto dead : core_.index->dead_segments())
    want_checkpoint_ = want_checkpoint_ || core_.pool->is_closed(dead);
}

Async<bool> Engine::Impl::clean_some() {
  const auto segment = victim();
  if (!segment) {
    if (core_.pool->room().segments_free < kFreeSegmentsLow) want_dead_segments();
    co_return false;
  }
  const Busy busy(core_.options.activities, Activity::kCleaning);
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
    if (!read.ok() && (read.code() == Code::kDataLoss || read.code() == Code::kNotFound)) {
      continue;
    }
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
  for (const auto& stripe : placed.stripes) {
    SQ_CO_TRY(const auto taken,
              core_.index->find_stripe(stripe.segment, stripe.generation, stripe.stripe_block));
    // Everything in it was overwritten meanwhile: it is nobody's.
    taken ? core_.pool->stripe_is_indexed(stripe) : core_.pool->forget_stripe(stripe);
  }
  core_.ledger.applied(std::move(hold));
  co_return record.extents.size();
}

}  // namespace square::store
