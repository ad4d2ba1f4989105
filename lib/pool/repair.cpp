#include "pool/repair.hpp"

#include <algorithm>
#include <map>

#include "base/probe.hpp"

namespace square::pool {
namespace {

constexpr auto kNap = std::chrono::milliseconds(20);  // so that a new pace and stop() are felt

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
  rebuild_ = {};
  rebuild_.status.active = true;
  rebuild_.status.slots = slots;
  // An acknowledged write lives in the journal until its stripe is written: its copies come first.
  if (before_rebuild) co_await before_rebuild();
  begin(rebuild_, SegmentId(0), slots);
  co_await run(rebuild_, StripeIo::HowMany::kEnough, look);
  rebuild_.status.active = false;
  if (over(rebuild_) || !rebuild_.complete) co_return;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (members_->live(slots[i]) != disks[i]) continue;
    const auto flushed = co_await disks[i]->flush();
    if (flushed.ok() && members_->live(slots[i]) == disks[i]) members_->set_whole(slots[i]);
  }
  ignore(co_await members_->write_labels(), "a disk that fails here says so itself");
}

Task<void> Repair::scrub(SegmentId from) {
  begin(scrub_, from, {});
  co_await run(scrub_, StripeIo::HowMany::kAll, false);
  scrub_.status.active = false;
}

void Repair::begin(Pass& pass, SegmentId from, const std::vector<Slot>& slots) {
  pass = {};
  pass.status.active = true;
  pass.status.slots = slots;
  pass.status.cursor = from;
  pass.began = pass.free_at = loop_.now();
  pass.client_calls = client_calls;
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
  if (stopping_ || loop_.ending()) return true;
  const auto& slots = pass.status.slots;
  return !slots.empty() && std::ranges::none_of(slots, [&](Slot slot) {
           return members_->live(slot) && members_->rebuilding(slot);
         });
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

Task<void> Repair::run(Pass& pass, StripeIo::HowMany how_many, bool look) {
  auto& status = pass.status;
  for (; status.cursor.value < segments_->size(); status.cursor = status.cursor.next()) {
    if (!concerns(pass, status.cursor)) continue;
    const auto id = status.cursor;
    // What is in flight counts too: it is either whole on all disks or not at all when we read it.
    co_await stripes_.wait_writes_of(id);
    if (over(pass)) co_return;
    const auto generation = segments_->at(id).generation;
    auto stripes = live_stripes(id);
    if (!stripes.ok()) {
      pass.complete = false;
      continue;
    }
    bool whole = true;
    for (auto& stripe : *stripes) {
      whole = co_await restore(pass, std::move(stripe), how_many, look) && whole;
      if (over(pass)) co_return;
    }
    status.done_bytes += members_->geometry().chunk_bytes;
    pass.complete = pass.complete && whole;
    if (!whole || segments_->at(id).generation != generation) continue;
    for (const auto slot : status.slots)
      if (names(segments_->at(id).slots, slot)) members_->set_built(slot, id, true);
  }
}

Task<bool> Repair::restore(Pass& pass, format::StripeDescriptor stripe,
                           StripeIo::HowMany how_many, bool look) {
  auto& status = pass.status;
  const auto bytes = std::uint64_t{stripe.strip_blocks} * kBlockBytes;
  bool settled = true;
  for (;;) {
    const auto live = members_->live_slots().size();
    const auto written = co_await stripes_.restore(stripe, how_many, look);
    if (written.ok()) {
      status.strips_written += *written;
      break;
    }
    if (written.code() == Code::kDataLoss) {
      SQ_PROBE("a repair met a stripe that is lost");
      ++status.stripes_lost;
      break;
    }
    // Another member went while it was written: what is left may still do.
    settled = !over(pass) && members_->live_slots().size() < live;
    if (!settled) break;
    SQ_PROBE("a member was lost during a repair");
  }
  ++status.stripes;
  co_await hold_back(pass, bytes * (pass.status.slots.empty() ? stripe.slots.size() : stripe.k));
  co_return settled;
}

Task<void> Repair::hold_back(Pass& pass, std::uint64_t bytes) {
  const bool clients = client_calls != pass.client_calls;
  pass.client_calls = client_calls;
  const auto rate = pace.override_bytes_per_s != 0 ? pace.override_bytes_per_s
                    : clients                      ? pace.floor_bytes_per_s
                                                   : 0;
  pass.status.pace_bytes_per_s = rate;
  if (rate == 0) {
    pass.free_at = loop_.now();
    co_return;
  }
  const auto start = std::max(pass.free_at, loop_.now() - std::chrono::seconds(1));
  const auto cost = static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 /
                                              static_cast<double>(rate));
  pass.free_at = start + env::Duration(cost);
  while (loop_.now() < pass.free_at && !over(pass)) {
    if (pace.override_bytes_per_s != rate && pace.override_bytes_per_s != 0) break;
    co_await env::sleep_until(loop_, std::min(pass.free_at, loop_.now() + kNap));
  }
}

RepairStatus Repair::status_of(const Pass& pass) const {
  auto status = pass.status;
  const auto ns = (loop_.now() - pass.began).count();
  if (!status.active || ns <= 0) return status;
  const auto seconds = static_cast<double>(ns) / 1e9;
  status.bytes_per_s =
      static_cast<std::uint64_t>(static_cast<double>(status.done_bytes) / seconds);
  if (status.bytes_per_s > 0)
    status.eta_s = (status.total_bytes - std::min(status.total_bytes, status.done_bytes)) /
                   status.bytes_per_s;
  return status;
}

}  // namespace square::pool
