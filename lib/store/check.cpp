// The engine looks at itself: index, log, pool and the segments' own summaries must say the same.
// And what the pool has lost is told in the clients' words: volumes and ranges.
#include <algorithm>

#include "store/engine_impl.hpp"

namespace square::store {

namespace {

std::string stripe_name(const format::StripeDescriptor& stripe) {
  return "segment " + std::to_string(stripe.segment.value) + ", generation " +
         std::to_string(stripe.generation.epoch) + "." + std::to_string(stripe.generation.counter) +
         ", stripe at block " + std::to_string(stripe.stripe_block);
}

// The stripes of one segment as the index has them, against the pool's table.
void compare_with_pool(const std::vector<format::StripeDescriptor>& stripes,
                       const pool::SegmentView& segment, const pool::Pool& pool, Findings& out) {
  std::uint64_t next = 0;
  for (const auto& stripe : stripes) {
    if (stripe.generation < segment.generation)
      continue;  // an earlier use; it counts no live bytes
    const auto name = stripe_name(stripe);
    if (stripe.generation != segment.generation)
      out.add(name + ": the pool knows generation " + std::to_string(segment.generation.epoch) +
              "." + std::to_string(segment.generation.counter));
    if (stripe.stripe_block < next) out.add(name + ": overlaps the stripe before it");
    next = std::uint64_t{stripe.stripe_block} + stripe.strip_blocks;
    if (next * kBlockBytes > pool.geometry().chunk_bytes)
      out.add(name + ": ends behind its segment");
    const bool placed = stripe.k == segment.k && stripe.m == segment.m &&
                        stripe.slots == pool.slots_of(segment.id, stripe.stripe_block);
    if (!placed) out.add(name + ": lies on other members than its segment");
  }
}

// A stripe that only the summary has may be one in which nothing lived any more when the index was
// made anew from the journal; no mapping may name it.
Result<> compare_with_summary(const std::vector<format::StripeDescriptor>& stripes,
                              const format::SegmentSummary& summary, const index::Index& index,
                              Findings& out) {
  const auto in_summary = [&](std::uint32_t block) {
    const auto found = std::ranges::lower_bound(summary.stripes, block, {},
                                                &format::StripeDescriptor::stripe_block);
    const bool there = found != summary.stripes.end() && found->stripe_block == block;
    return there ? &*found : nullptr;
  };
  std::set<std::uint32_t> in_index;
  for (const auto& stripe : stripes) {
    if (stripe.generation != summary.generation) continue;
    in_index.insert(stripe.stripe_block);
    const auto* same = in_summary(stripe.stripe_block);
    if (same == nullptr)
      out.add(stripe_name(stripe) + ": the index has it, the segment's summary does not");
    else if (*same != stripe)
      out.add(stripe_name(stripe) + ": index and summary describe it differently");
  }
  for (const auto& stripe : summary.stripes) {
    if (in_index.contains(stripe.stripe_block)) continue;
    SQ_TRY(const auto live, index.live_extents(std::span(&stripe, 1)));
    for (const auto& extent : live)
      out.add(stripe_name(stripe) + ": only the summary has it, and volume " +
              std::to_string(extent.volume.value) + " lives in it at offset " +
              std::to_string(extent.offset));
  }
  return {};
}

}  // namespace

// From where the index stands, the operations that it lacks must lead to where the log stands, each
// with its bytes or in a stripe that the pool keeps for it.
void Group::check_log(Findings& out) const {
  const auto name = "group " + std::to_string(id_.value);
  const auto applied = core_.index->applied(id_);
  if (applied.sequence != applied_)
    out.add(name + ": the index has taken operation " + std::to_string(applied.sequence.value) +
            ", the log says " + std::to_string(applied_.value));
  auto chain = applied.chain;
  for (const auto& logged : pending_) {
    const auto& operation = logged->operation;
    if (operation.sequence > handed_) break;
    const auto which = name + ": operation " + std::to_string(operation.sequence.value);
    chain = format::chain_hash(chain, operation);
    if (chain != operation.chain) return out.add(which + " does not continue the chain");
    if (logged->committed && !operation.placed() && logged->stored.empty())
      out.add(which + " has neither a place nor its bytes");
    for (const auto& stripe : logged->stripes) {
      const auto segment = core_.pool->segment(stripe.segment);
      if (!segment || segment->generation != stripe.generation || !segment->unindexed)
        out.add(which + ": the pool does not keep its stripe");
    }
  }
  if (chain != chain_) out.add(name + ": the log does not lead from the index to its own end");
}

void Engine::Impl::check_lane_point(Findings& out) const {
  const auto point = core_.index->lane_point(0);
  const auto& lane = *core_.lane;
  const bool known = point.position >= lane.tail_point().position;
  if (point.position > lane.durable() || (known && lane.point_at(point.position) != point))
    out.add("the index stands at position " + std::to_string(point.position.value) +
            " of the journal, and the journal does not lead there");
}

Async<> Engine::Impl::check_segment(SegmentId id, Findings& out) {
  const auto before = core_.pool->segment(id);
  std::optional<Result<format::SegmentSummary>> summary;
  if (before && before->summary == pool::SegmentView::Summary::kWritten)
    summary = co_await core_.pool->read_summary(id);
  SQ_CO_TRY(core_.alive());
  // From here on nothing changes.
  const auto segment = core_.pool->segment(id);
  SQ_CO_TRY(const auto stripes, core_.index->stripes_in(id));
  if (!segment) {
    SQ_CO_TRY(const auto live, core_.index->live_extents(stripes));
    if (!live.empty())
      out.add("segment " + std::to_string(id.value) + ": free, and " + std::to_string(live.size()) +
              " extents live in it");
    co_return {};
  }
  if (segment->kind == pool::StripeClass::kIndex) co_return {};
  compare_with_pool(stripes, *segment, *core_.pool, out);
  const bool whole = segment->closed && !segment->unindexed && !stripes.empty();
  if (whole && segment->summary == pool::SegmentView::Summary::kNone)
    out.add("segment " + std::to_string(id.value) + ": closed, and has no summary");
  // Released and used again while its summary was read: another time.
  if (!summary || !before || before->generation != segment->generation || !segment->closed)
    co_return {};
  if (!summary->ok()) {
    out.add("segment " + std::to_string(id.value) + ": " + summary->error().message);
    co_return {};
  }
  co_return compare_with_summary(stripes, **summary, *core_.index, out);
}

Async<std::string> Engine::Impl::check() {
  Findings out;
  SQ_CO_TRY(auto differences, core_.index->differences(Findings::kNamedMax));
  for (auto& difference : differences) out.add(std::move(difference));
  for (const auto& [id, each] : groups_) each->check_log(out);
  check_lane_point(out);
  for (SegmentId id; id.value < core_.pool->geometry().chunks; id = id.next()) {
    SQ_CO_TRY(co_await check_segment(id, out));
    co_await env::yield(core_.env.loop);
  }
  co_return out.text();
}

Async<Losses> Engine::Impl::losses(std::size_t ranges_max) {
  Losses losses;
  std::map<VolumeId, LostVolume> volumes;
  for (const auto segment : core_.pool->segments_with_losses()) {
    co_await env::yield(core_.env.loop);
    SQ_CO_TRY(core_.alive());
    SQ_CO_TRY(const auto stripes, core_.index->stripes_in(segment));
    for (const auto& stripe : stripes) {
      for (const auto& extent : stripe.extents) {
        if (!core_.pool->is_lost(stripe, extent.byte_offset, extent.stored_bytes)) continue;
        SQ_CO_TRY(const auto uses, core_.index->uses_of(stripe, extent));
        for (const auto& use : uses) {
          auto& volume = volumes[extent.volume];
          ++volume.ranges;
          volume.bytes += use.length;
          if (losses.ranges.size() == ranges_max) continue;
          LostRange range{extent.volume, {}, use.offset, use.length};
          if (use.snapshot)
            range.snapshot =
                std::to_string(extent.group.value) + "-" + std::to_string(use.snapshot->value);
          losses.ranges.push_back(std::move(range));
        }
      }
    }
  }
  for (auto& [id, volume] : volumes) {
    volume.volume = id;
    const auto group = group_of(id);
    if (group.ok()) volume.name = (*group)->volumes().at(id).name.value_or(std::string());
    losses.volumes.push_back(std::move(volume));
  }
  co_return losses;
}

Result<bool> Engine::Impl::has_losses() const {
  for (const auto segment : core_.pool->segments_with_losses()) {
    SQ_TRY(const auto stripes, core_.index->stripes_in(segment));
    for (const auto& stripe : stripes) {
      for (const auto& extent : stripe.extents) {
        if (!core_.pool->is_lost(stripe, extent.byte_offset, extent.stored_bytes)) continue;
        SQ_TRY(const auto uses, core_.index->uses_of(stripe, extent));
        if (!uses.empty()) return true;
      }
    }
  }
  return false;
}

Result<bool> Engine::has_losses() const { return impl_->has_losses(); }

Async<std::string> Engine::check() {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  co_return co_await impl_->check();
}

Async<Losses> Engine::losses(std::size_t ranges_max) {
  SQ_CO_TRY(impl_->enter());
  const Impl::Visit visit(*impl_);
  co_return co_await impl_->losses(ranges_max);
}

}  // namespace square::store
