#include "pool/repair.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "base/probe.hpp"

namespace square::pool {
namespace {

constexpr std::uint64_t kSegmentsAtOnce = 4, kStripesAtOnce = 8;
constexpr std::uint64_t kScrubShare = 4;  // of the floor: nothing is at risk while it runs

bool names(const std::vector<Slot>& slots, Slot slot) {
  return std::ranges::find(slots, slot) != slots.end();
}

}  // namespace

Task<void> Repair::rebuild(bool look) {
  std::vector<Slot> slots;
  std::vector<MemberDiskPtr> disks;
  for (const auto slot : members_->live_slots()) {
    if (!members_->rebuilding(slot)) continue;
    slots.push_back(slot);
    disks.push_back(members_->live(slot));
  }
  if (slots.empty()) co_return;
  rebuild_ = {};
  rebuild_.status.active = true;
  rebuild_.status.slots = slots;
  // An acknowledged write lives in the journal until its stripe is written: its copies come first.
  if (before_rebuild) co_await before_rebuild();
  begin(rebuild_, SegmentId(0), slots);
  co_await run(rebuild_, look ? Work::kFillAfterLook : Work::kFill);
  rebuild_.status.active = false;
  if (over(rebuild_) || !rebuild_.complete) co_return;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (members_->live(slots[i]) != disks[i]) continue;
    const auto flushed = co_await disks[i]->flush();
    if (flushed.ok() && members_->live(slots[i]) == disks[i]) members_->set_whole(slots[i]);
  }
  ignore(co_await members_->write_labels(), "a disk that fails here says so itself");
}

void Repair::begin_scrub(SegmentId from) {
  const auto number = scrub_.status.number + 1;
  begin(scrub_, from, {});
  scrub_.status.number = number;
}

Task<void> Repair::scrub() {
  co_await run(scrub_, Work::kLook);
  while (!damaged_.empty() && !stopping_) co_await mended_.wait();
  scrub_.status.active = false;
}

Task<void> Repair::inspect(SegmentId segment) {
  co_await stripes_.wait_writes_of(segment);
  auto stripes = live_stripes(segment);
  Pass pass;
  if (stripes.ok())
    for (auto& stripe : *stripes)
      if (!stopping_) co_await look(pass, std::move(stripe));
  if (!stopping_) co_await summaries_.scrub(segment);
  while (!damaged_.empty() && !stopping_) co_await mended_.wait();
}

void Repair::begin(Pass& pass, SegmentId from, const std::vector<Slot>& slots) {
  pass = {};
  pass.status.active = true;
  pass.status.slots = slots;
  pass.status.cursor = from;
  pass.pacing = pacer_.begin();
  const auto chunk_bytes = members_->geometry().chunk_bytes;
  for (SegmentId id = from; id.value < segments_->size(); id = id.next())
    if (concerns(pass, id)) pass.status.total_bytes += chunk_bytes;
}

// For a rebuild: a segment whose strips some of its slots lack.
bool Repair::concerns(const Pass& pass, SegmentId id) const {
  if (!segments_->in_use(id)) return false;
  if (pass.status.slots.empty()) return true;
  const auto& slots = segments_->at(id).slots;
  return std::ranges::any_of(pass.status.slots, [&](Slot slot) {
    return names(slots, slot) && !members_->built(slot, id);
  });
}

bool Repair::over(const Pass& pass) const {
  if (stopping_ || pass.cancelled || loop_.ending()) return true;
  const auto& slots = pass.status.slots;
  if (slots.empty()) return false;
  // With fewer than k members nothing can be recovered, and to call that lost would be for ever.
  return members_->whole_count() < members_->geometry().k ||
         std::ranges::none_of(
             slots, [&](Slot slot) { return members_->live(slot) && members_->rebuilding(slot); });
}

Result<std::vector<format::StripeDescriptor>> Repair::live_stripes(SegmentId id) const {
  std::map<std::uint32_t, format::StripeDescriptor> by_block;
  const auto take = [&](std::vector<format::StripeDescriptor> stripes) {
    for (auto& stripe : stripes)
      if (stripe.segment == id && stripes_.current(stripe) && segments_->check_fits(stripe).ok())
        by_block.emplace(stripe.stripe_block, std::move(stripe));
  };
  take(stripes_.pending_in(id));
  take(checkpoints_.stripes_in(id));
  if (stripes_.catalog != nullptr && segments_->at(id).kind != StripeClass::kIndex) {
    SQ_TRY(auto found, stripes_.catalog->in_segment(id));
    take(std::move(found));
  }
  std::vector<format::StripeDescriptor> stripes;
  for (auto& [block, stripe] : by_block) stripes.push_back(std::move(stripe));
  return stripes;
}

// Several stripes at once, and the next segment's first beside the last of one: some are read while
// others are written.
struct Repair::Window {
  explicit Window(env::Loop& loop)
      : segments(loop, kSegmentsAtOnce), stripes(loop, kStripesAtOnce) {}
  env::Budget segments, stripes;
  std::set<SegmentId> begun;
};

Task<void> Repair::run(Pass& pass, Work work) {
  Window window(loop_);
  env::Scope scope(loop_);
  const auto first = pass.status.cursor;
  for (auto id = first; id.value < segments_->size() && !over(pass); id = id.next()) {
    if (window.begun.empty()) pass.status.cursor = id;
    if (!concerns(pass, id)) continue;
    co_await window.segments.acquire(1);
    window.begun.insert(id);
    scope.spawn(run_segment(&window, &pass, id, work));
  }
  co_await scope.join();
  if (!over(pass)) pass.status.cursor = SegmentId(segments_->size());
}

Task<void> Repair::run_segment(Window* window, Pass* pass, SegmentId id, Work work) {
  // What is in flight counts too: it is either whole on all disks or not at all when we read it.
  co_await stripes_.wait_writes_of(id);
  const auto generation = segments_->at(id).generation;
  auto stripes = live_stripes(id);
  bool whole = stripes.ok() && !over(*pass);
  if (whole) {
    env::Scope scope(loop_);
    for (auto& stripe : *stripes) {
      co_await hold_back(*pass, stripe);
      co_await window->stripes.acquire(1);
      scope.spawn(run_stripe(window, pass, std::move(stripe), work, &whole));
    }
    co_await scope.join();
  }
  if (whole && !over(*pass)) whole = co_await settle_summary(id, work);
  whole = whole && !over(*pass);
  pass->complete = pass->complete && whole;
  pass->status.done_bytes += members_->geometry().chunk_bytes;
  if (whole && segments_->at(id).generation == generation)
    for (const auto slot : pass->status.slots)
      if (names(segments_->at(id).slots, slot)) members_->set_built(slot, id, true);
  window->begun.erase(id);
  if (whole && !window->begun.empty()) pass->status.cursor = *window->begun.begin();
  window->segments.release(1);
}

Task<void> Repair::run_stripe(Window* window, Pass* pass, format::StripeDescriptor stripe,
                              Work work, bool* whole) {
  ++pass->status.stripes;
  bool settled = !over(*pass);
  if (!settled) {
    // Stopping: let the others end.
  } else if (work == Work::kLook) {
    settled = co_await look(*pass, std::move(stripe));
  } else {
    settled = co_await fill(
        *pass, std::move(stripe),
        work == Work::kFill ? StripeIo::Purpose::kFill : StripeIo::Purpose::kFillAfterLook);
  }
  *whole = *whole && settled;
  window->stripes.release(1);
}

// What it finds goes to mend().
Task<bool> Repair::look(Pass& pass, format::StripeDescriptor stripe) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  if (!stripes_.current(stripe)) co_return true;
  const auto k = stripe.k;
  const auto set = co_await stripes_.read_strips(std::move(stripe), StripeIo::HowMany::kAll);
  if (set.good < k) ++pass.status.stripes_lost;
  co_return true;
}

Task<bool> Repair::fill(Pass& pass, format::StripeDescriptor stripe, StripeIo::Purpose purpose) {
  for (;;) {
    const auto live = members_->live_slots().size();
    const auto written = co_await stripes_.restore(stripe, purpose);
    if (written.ok()) {
      pass.status.strips_written += *written;
      co_return true;
    }
    // What looks lost may only be a disk whose end nobody has noticed yet.
    if (written.code() == Code::kDataLoss) co_await members_->probe();
    if (written.code() == Code::kDataLoss && !over(pass) && members_->live_slots().size() == live) {
      SQ_PROBE("a repair met a stripe that is lost");
      ++pass.status.stripes_lost;
      co_return true;
    }
    // Another member went while it was written: what is left may still do.
    if (over(pass) || members_->live_slots().size() >= live) co_return false;
    SQ_PROBE("a member was lost during a repair");
  }
}

// The summary is one more stripe, that nobody but the disks knows of.
Task<bool> Repair::settle_summary(SegmentId segment, Work work) {
  if (work == Work::kLook) {
    co_await summaries_.scrub(segment);
    co_return true;
  }
  const auto filled = co_await summaries_.fill(
      segment, work == Work::kFill ? StripeIo::Purpose::kFill : StripeIo::Purpose::kFillAfterLook);
  co_return filled.ok();
}

void Repair::add_damaged(const format::StripeDescriptor& stripe) {
  const auto same = [&](const auto& other) { return key_of(other) == key_of(stripe); };
  if (std::ranges::none_of(damaged_, same)) damaged_.push_back(stripe);
}

Task<void> Repair::mend() {
  // The one at work stays in front, so that its own reading does not put it there again.
  for (; !damaged_.empty() && !stopping_; damaged_.pop_front())
    ignore(co_await stripes_.restore(damaged_.front(), StripeIo::Purpose::kMend),
           "it stays damaged, and whoever reads it next brings it here again");
  mended_.pulse();
}

void Repair::report_thin_stripes() {
  const auto m = members_->geometry().m;
  if (members_->live_slots().size() <= m || !stripes_.on_damaged) return;
  for (const auto id : segments_->thin_segments(m)) {
    const auto& segment = segments_->at(id);
    if (segment.state == SegmentTable::State::kOpen) segments_->close(id);
    if (thin_reported_.contains(segment.generation)) continue;
    const auto stripes = live_stripes(id);
    if (!stripes.ok()) continue;
    SQ_PROBE("stripes with less parity than the pool's were reported");
    thin_reported_.insert(segment.generation);
    for (const auto& stripe : *stripes) stripes_.on_damaged(stripe);
  }
}

// Before what it reads.
Task<void> Repair::hold_back(Pass& pass, const format::StripeDescriptor& stripe) {
  const auto bytes = std::uint64_t{stripe.strip_blocks} * kBlockBytes;  // of each disk
  const auto share = pass.status.slots.empty() ? kScrubShare : 1;
  co_await pacer_.hold_back(&pass.pacing, bytes, share, &pass.status,
                            [this, &pass] { return over(pass); });
}

RepairStatus Repair::status_of(const Pass& pass) const {
  auto status = pass.status;
  status.complete = pass.complete;
  return pacer_.estimate(pass.pacing, std::move(status));
}

}  // namespace square::pool
