// A read that a disk is late with is raced with a reconstruction from the other strips; the first
// answer that proves right wins.

#include "base/probe.hpp"
#include "pool/part_reads.hpp"

namespace square::pool {

StripeIo::PartReads::PartReads(env::Loop& loop, std::shared_ptr<SegmentTable> table,
                               const format::Place& place, std::uint32_t size_)
    : size(size_), changed(loop) {
  reader.emplace(std::move(table), place.segment);
  const auto strip_bytes = std::uint32_t{place.strip_blocks} * kBlockBytes;
  first = place.byte_offset / kBlockBytes * kBlockBytes;
  skip = place.byte_offset - first;
  const auto last =
      static_cast<std::uint32_t>(align_up(std::uint64_t{place.byte_offset} + size, kBlockBytes));
  window = Buffer::allocate(last - first);
  for (auto at = first; at < last;) {
    const auto end = std::min(last, (at / strip_bytes + 1) * strip_bytes);
    parts.push_back({at / strip_bytes, at % strip_bytes, window.slice(at - first, end - at)});
    at = end;
  }
  faults.assign(parts.size(), StripFault::kNotRead);
}

StripeIo::PartReads::PartReads(env::Loop& loop, std::shared_ptr<SegmentTable> table,
                               SegmentId segment, Part part)
    : size(static_cast<std::uint32_t>(part.into.size())), window(part.into), changed(loop) {
  reader.emplace(std::move(table), segment);
  parts.push_back(std::move(part));
  faults.assign(1, StripFault::kNotRead);
}

std::uint64_t StripeIo::PartReads::late_bytes() const {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (faults[i] == StripFault::kNotRead) bytes += parts[i].into.size();
  return bytes;
}

std::shared_ptr<StripeIo::PartReads> StripeIo::start_parts(const format::Place& place,
                                                           std::uint32_t size) {
  auto reads = std::make_shared<PartReads>(loop_, segments_, place, size);
  const auto slots = rotated(segments_->at(place.segment).slots, place.segment, place.stripe_block);
  const auto offset = offset_of(place.segment, place.stripe_block);
  for (std::size_t i = 0; i < reads->parts.size(); ++i) {
    const auto& part = reads->parts[i];
    auto disk = members_->holder(slots[part.strip], place.segment);
    hedge_.read_begins(part.into.size());
    if (!disk) {
      reads->faults[i] = StripFault::kAbsent;
      continue;
    }
    ++reads->waiting;
    scope_.spawn(run_part(reads, i, std::move(disk), offset + part.from));
  }
  if (reads->waiting == 0) reads->reader.reset();
  return reads;
}

Task<void> StripeIo::run_part(std::shared_ptr<PartReads> reads, std::size_t i, MemberDiskPtr disk,
                              std::uint64_t offset) {
  const auto result = co_await disk->read(offset, reads->parts[i].into);
  reads->faults[i] = result.ok()      ? StripFault::kNone
                     : disk->failed() ? StripFault::kAbsent
                                      : StripFault::kUnreadable;
  if (--reads->waiting == 0) reads->reader.reset();
  reads->changed.pulse();
}

env::Duration StripeIo::late_after(const format::Place& place, const PartReads& reads) const {
  const auto& slots = segments_->at(place.segment).slots;
  const auto at = rotated(slots, place.segment, place.stripe_block);
  env::Duration after{0};
  for (const auto& part : reads.parts)
    after = std::max(after, HedgeCore::late_after(members_->peers_usual(
                                at[part.strip], RequestKind::kRead, part.into.size())));
  return after;
}

// Resumes when all have ended, or when they are overdue.
Task<void> StripeIo::wait_in_time(std::shared_ptr<PartReads> reads, env::Duration after) {
  const auto timer = loop_.add_timer(loop_.now() + after, [reads] {
    reads->overdue = true;
    reads->changed.pulse();
  });
  while (!reads->ended() && !reads->overdue) co_await reads->changed.wait();
  loop_.cancel_timer(timer);
  if (reads->ended()) co_return;
  // A loop that was held up finds timers and answers together: the answers first.
  co_await env::yield(loop_);
}

Async<Buffer> StripeIo::race(format::Place place, std::shared_ptr<PartReads> direct,
                             Pool::Verify verify) {
  if (direct->ended()) co_return Error{Code::kBusy, "nothing is late"};
  SQ_CO_TRY(auto stripe, find(place));
  if (!hedge_.begin_race(direct->late_bytes() * stripe.k)) {
    SQ_PROBE("a late read was not raced: the budget is spent");
    ++counters.races_refused;
    co_return Error{Code::kBusy, "no budget"};
  }
  SQ_PROBE("a late read was raced");
  ++counters.races;
  auto around = std::make_shared<Around>();
  around->direct = direct;
  around->stripe = std::move(stripe);
  around->window = Buffer::allocate(direct->window.size());
  for (std::size_t i = 0; i < direct->parts.size(); ++i) {
    const auto& part = direct->parts[i];
    const auto at = static_cast<std::size_t>(part.into.data() - direct->window.data());
    around->parts.push_back({part.strip, part.from, around->window.slice(at, part.into.size())});
    around->faults.push_back(direct->faults[i]);
  }
  scope_.spawn(run_around(around));
  while (!direct->ended() && !around->done) co_await direct->changed.wait();
  if (!around->done || !around->result.ok()) co_return Error{Code::kBusy, "it did not win"};
  for (std::size_t i = 0; i < direct->parts.size(); ++i) {
    if (around->faults[i] != StripFault::kNone) continue;
    auto into = around->parts[i].into;
    std::memcpy(into.data(), direct->parts[i].into.data(), into.size());
  }
  const auto wanted = direct->wanted(around->window);
  if (!verify(wanted.bytes())) co_return Error{Code::kCorrupt, "not what was expected"};
  SQ_PROBE("a reconstruction won over a late read");
  ++counters.races_won;
  co_return wanted;
}

Task<void> StripeIo::run_around(std::shared_ptr<Around> around) {
  around->result = co_await read_around(around->stripe, around->parts, around->faults);
  around->done = true;
  around->direct->changed.pulse();
}

}  // namespace square::pool
