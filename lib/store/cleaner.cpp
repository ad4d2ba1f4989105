// Space comes back by cleaning: live extents leave mostly dead segments, and a segment that nothing
// names is released. No stripe is ever updated in place.
#include <algorithm>

#include "base/probe.hpp"
#include "codec/seal.hpp"
#include "store/cleaning_core.hpp"
#include "store/engine_impl.hpp"
#include "store/local_leg.hpp"

namespace square::store {

namespace {

constexpr std::size_t kLooksMax = 4;  // at segments whole, in one round
constexpr auto kDamagedAgain = std::chrono::seconds(1);
constexpr std::size_t kReadsAtOnce = 8;
constexpr std::size_t kTurnsMax = 5;  // stripes moved in one round
constexpr std::uint32_t kVainShare =
    16;  // so much of a segment must go before it is looked at again

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
    vain_.erase(segment);
  }
  for (const auto segment : core_.pool->barren_segments()) core_.pool->release_segment(segment);
  co_return {};
}

// How many segments too few are free, or on their way. Ahead of need, so that writers seldom wait.
std::size_t Engine::Impl::segments_short() const {
  const auto room = core_.pool->room();
  const auto coming = room.segments_free + room.segments_released + room.segments_leaving +
                      core_.index->dead_segments().size();
  const std::size_t wanted = segments_wanted(room, core_.options.write_buffer_bytes);
  return wanted > coming ? wanted - coming : 0;
}

std::size_t Engine::Impl::cleaning_turns() const {
  return std::min(segments_short() + 1, kTurnsMax);
}

bool Engine::Impl::may_clean(const index::SegmentUse& use) const {
  if (!core_.pool->is_closed(use.segment) || stuck_.contains(use.segment)) return false;
  if (skipped_.contains(use.segment) || (trim_ && trim_->segment == use.segment)) return false;
  const auto vain = vain_.find(use.segment);
  return vain == vain_.end() || vain->second.generation != use.generation ||
         use.live_bytes + use.total_bytes / kVainShare <= vain->second.live_bytes;
}

Result<bool> Engine::Impl::choose_damaged() {
  if (core_.env.loop.now() < damaged_again_) return false;
  for (const auto segment : damaged_) {
    if (!core_.pool->is_closed(segment) || stuck_.contains(segment)) continue;
    damaged_.erase(segment);
    SQ_PROBE("a damaged segment is cleaned");
    SQ_TRY(auto live, core_.index->live_extents(segment));
    cleaning_ = Cleaning{segment, std::move(live), true};
    return true;
  }
  return false;
}

// What a segment would really give is known only when all its extents were looked up. True when
// there is something to clean now, or to look at in the next round.
Result<bool> Engine::Impl::choose_victim() {
  SQ_TRY(const bool damaged, choose_damaged());
  if (damaged || (segments_short() == 0 && core_.room.waiting() == 0)) return damaged;
  SQ_TRY(const auto uses, core_.index->segment_uses());
  const auto best = victims(uses, [this](const index::SegmentUse& use) { return may_clean(use); });
  bool more = false;
  std::size_t looks = 0;
  for (const auto& use : best) {
    if (looks++ == kLooksMax) return more;
    SQ_TRY(auto live, core_.index->live_extents(use.segment));
    SegmentYield yield;
    yield.total_bytes = use.total_bytes;
    yield.shown_content = use.live_bytes;
    for (const auto& extent : live) {
      yield.kept_bytes += extent.from.stored_bytes;
      yield.kept_content += extent.from.plain_bytes;
    }
    auto best_remedy =
        remedy(yield, !core_.options.receives);  // to seal anew, it goes through a log
    if (best_remedy == Remedy::kTrim && untrimmable_.contains(use.segment)) {
      best_remedy = remedy(yield, false);
      if (best_remedy == Remedy::kNone) {
        skipped_.insert(use.segment);
        more = true;
        continue;
      }
    }
    switch (best_remedy) {
      case Remedy::kTrim:
        more = true;
        if (trim_) {  // its turn comes
          skipped_.insert(use.segment);
          continue;
        }
        SQ_PROBE("a segment of sparse extents is trimmed");
        trim_ = Trim{use.segment, std::move(live)};
        trim_wanted_.set();
        continue;
      case Remedy::kMove: cleaning_ = Cleaning{use.segment, std::move(live)}; return true;
      case Remedy::kNone: vain_[use.segment] = {use.generation, use.live_bytes}; more = true;
    }
  }
  return more;
}

// Segments that have died come free by a checkpoint; one is made for several, when nobody waits.
void Engine::Impl::want_freed_segments(bool now) {
  const auto room = core_.pool->room();
  if (room.segments_free >= segments_wanted(room, core_.options.write_buffer_bytes)) return;
  auto dead = room.segments_released;
  for (const auto segment : core_.index->dead_segments()) dead += core_.pool->is_closed(segment);
  if (dead == 0) return;
  if (now || core_.room.waiting() > 0 || dead >= segments_worth_checkpoint(room) ||
      room.segments_free <= room.segments_kept)
    want_checkpoint_ = true;
}

// A stripe's worth at a time: destaging has its turn in between.
Async<bool> Engine::Impl::clean_some() {
  if (stopping_) co_return false;
  bool more = true;
  if (!cleaning_) {
    SQ_CO_TRY(more, choose_victim());
  } else if (!core_.pool->is_closed(cleaning_->segment)) {
    cleaning_.reset();  // it died by itself
  }
  if (!cleaning_) {
    want_freed_segments(!more);
    co_return more;
  }
  const Busy busy(core_.options.activities, Activity::kCleaning);
  auto& live = cleaning_->live;
  const auto bytes_max = stripe_fill_bytes(*core_.pool);
  std::vector<format::MovedExtent> some;
  std::uint64_t bytes = 0;
  while (!live.empty() && (some.empty() || bytes + live.back().from.stored_bytes <= bytes_max)) {
    bytes += live.back().from.stored_bytes;
    some.push_back(std::move(live.back()));
    live.pop_back();
  }
  const auto moved = co_await move_extents(std::move(some));
  if (!moved.ok()) {
    // From its beginning, another time; there may be room elsewhere before.
    if (cleaning_->damaged) {
      damaged_.insert(cleaning_->segment);
      damaged_again_ = core_.env.loop.now() + kDamagedAgain;
    }
    cleaning_.reset();
    co_return moved.error();
  }
  cleaning_->lost += moved->lost;
  if (!cleaning_->live.empty()) co_return true;
  if (cleaning_->lost > 0) {
    SQ_PROBE("a segment could not be cleaned whole");
    stuck_.insert(cleaning_->segment);
  }
  SQ_PROBE("a segment was cleaned");
  want_checkpoint_ = want_checkpoint_ || cleaning_->damaged;  // only then it is free
  cleaning_.reset();
  want_freed_segments(false);
  co_return true;
}

struct Engine::Impl::MoveReads {
  std::vector<format::MovedExtent> extents;
  std::vector<std::optional<Result<Buffer>>> stored;
  std::size_t next = 0;
};

Task<void> Engine::Impl::read_for_move(MoveReads* reads) {
  while (reads->next < reads->extents.size()) {
    const auto at = reads->next++;
    const auto& extent = reads->extents[at];
    const pool::Pool::Verify verify = [&extent](Bytes bytes) {
      return codec::verify_stored(bytes, extent.from).ok();
    };
    reads->stored[at] =
        co_await core_.pool->read_place(extent.from.place, extent.from.stored_bytes, verify);
  }
}

// What is lost stays where it is: it is said to whoever reads it, and nobody else has to suffer for
// it. What is gone meanwhile (a checkpoint by hand may have freed the segment) needs no new place.
Async<Engine::Impl::Moved> Engine::Impl::move_extents(std::vector<format::MovedExtent> extents) {
  MoveReads reads;
  reads.stored.resize(extents.size());
  reads.extents = std::move(extents);
  {
    env::Scope scope(core_.env.loop);
    for (std::size_t i = 0; i < std::min(kReadsAtOnce, reads.extents.size()); ++i)
      scope.spawn(read_for_move(&reads));
    co_await scope.join();
  }
  Moved moved;
  format::MoveRecord record;
  std::vector<pool::StripeItem> items;
  for (std::size_t i = 0; i < reads.extents.size(); ++i) {
    auto& read = *reads.stored[i];
    auto& extent = reads.extents[i];
    if (read.failed_with(Code::kNotFound)) continue;
    if (read.failed_with(Code::kDataLoss)) {
      ++moved.lost;
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
  if (items.empty()) co_return moved;
  moved.moved = items.size();
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
  co_return moved;
}

}  // namespace square::store
