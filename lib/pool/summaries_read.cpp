// Summaries as they are found on the disks: by whoever asks, by rebuild and by scrub.
#include <algorithm>

#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/parallel.hpp"
#include "pool/summaries.hpp"

namespace square::pool {

bool Summaries::fits(const format::SummaryFooter& footer, SegmentId id) const {
  const auto& segment = segments_->at(id);
  const auto& stripe = footer.stripe;
  const auto chunk_blocks = members_->geometry().chunk_bytes / kBlockBytes;
  return footer.pool == members_->pool() && stripe.segment == id &&
         stripe.generation == segment.generation && segments_->check_fits(stripe).ok() &&
         stripe.stripe_block + stripe.strip_blocks + 1 == chunk_blocks &&
         unrotated(stripe.slots, id, stripe.stripe_block) == segment.slots;
}

Task<Summaries::Footers> Summaries::read_footers(SegmentId id) {
  const auto slots = segments_->at(id).slots;
  std::vector<Buffer> blocks;
  std::vector<Async<>> tasks;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto disk = members_->live(slots[i]);
    if (!disk) continue;
    places.push_back(i);
    blocks.push_back(Buffer::allocate(kBlockBytes));
    tasks.push_back(disk->read(footer_offset(id), blocks.back()));
  }
  const auto results = co_await run_all(loop_, std::move(tasks));
  Footers found;
  found.at.resize(slots.size());
  for (std::size_t n = 0; n < places.size(); ++n) {
    if (!results[n].ok()) continue;
    auto footer = format::decode_footer(blocks[n].bytes());
    if (!footer.ok() || !fits(*footer, id)) continue;
    if (std::ranges::find(found.distinct, *footer) == found.distinct.end())
      found.distinct.push_back(*footer);
    found.at[places[n]] = std::move(footer).value();
  }
  const auto votes = [&](const format::SummaryFooter& footer) {
    return std::ranges::count(found.at, std::optional(footer));
  };
  std::ranges::sort(found.distinct,
                    [&](const auto& a, const auto& b) { return votes(a) > votes(b); });
  co_return found;
}

std::vector<MemberDiskPtr> Summaries::disks_without(SegmentId id, const Footers& footers,
                                                    const format::SummaryFooter& footer) const {
  std::vector<MemberDiskPtr> disks;
  const auto& slots = segments_->at(id).slots;
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (const auto disk = members_->live(slots[i]); disk && footers.at[i] != footer)
      disks.push_back(disk);
  return disks;
}

Async<std::pair<format::SegmentSummary, format::SummaryFooter>> Summaries::read_by(Footers footers,
                                                                                   SegmentId id) {
  Error why{Code::kNotFound, "segment " + std::to_string(id.value) + " has no summary"};
  for (const auto& footer : footers.distinct) {
    auto bytes = co_await stripes_.read_verified(footer.stripe, 0, footer.bytes);
    if (!bytes.ok()) {
      why = std::move(bytes).error();
      continue;
    }
    auto summary = format::decode_summary(bytes->bytes());
    const bool right = summary.ok() && codec::checksum64(bytes->bytes()) == footer.checksum &&
                       summary->pool == members_->pool() && summary->segment == id &&
                       summary->generation == footer.stripe.generation;
    if (right) co_return std::pair(std::move(summary).value(), footer);
    why = {Code::kCorrupt, "the summary of segment " + std::to_string(id.value) + " is another's"};
  }
  co_return why;
}

Async<format::SegmentSummary> Summaries::read(SegmentId id) {
  const SegmentTable::Reader reader(segments_, id);
  auto footers = co_await read_footers(id);
  SQ_CO_TRY(auto found, co_await read_by(std::move(footers), id));
  co_return std::move(found.first);
}

// ---- keeping whole

Async<> Summaries::fill(SegmentId id, StripeIo::Purpose purpose) {
  const auto lock = co_await at_work_.lock();
  if (segments_->at(id).kind == StripeClass::kIndex) co_return Result<>();
  const SegmentTable::Reader reader(segments_, id);
  const auto footers = co_await read_footers(id);
  for (const auto& footer : footers.distinct) {
    const auto restored = co_await stripes_.restore(footer.stripe, purpose);
    if (restored.failed_with(Code::kDataLoss)) continue;
    SQ_CO_TRY(restored);
    const auto disks = disks_without(id, footers, footer);
    if (disks.empty()) co_return Result<>();
    co_return co_await put_footers(id, footer, disks);
  }
  // None was finished, or too little of it is left: what it says is in the index too.
  write_again(id);
  co_return Result<>();
}

void Summaries::write_again(SegmentId id) {
  if (!segments_->at(id).summarized) return;
  segments_->set_summarized(id, false);
  wanted_.insert(id);
}

Task<void> Summaries::scrub(SegmentId id) {
  const auto lock = co_await at_work_.lock();
  if (!segments_->at(id).summarized) co_return;
  const SegmentTable::Reader reader(segments_, id);
  const auto footers = co_await read_footers(id);
  for (const auto& footer : footers.distinct) {
    const auto set = co_await stripes_.read_strips(footer.stripe, StripeIo::HowMany::kAll);
    if (set.good < footer.stripe.k) continue;
    co_return co_await mend_footers(id, footers, footer);
  }
  write_again(id);
}

// One that is missing where the summary was complete has rotted.
Task<void> Summaries::mend_footers(SegmentId id, Footers footers, format::SummaryFooter footer) {
  const auto slots = segments_->at(id).slots;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto disk = members_->holder(slots[i], id);
    if (!disk || footers.at[i] == footer) continue;
    SQ_PROBE("a bad footer was found");
    ++stripes_.counters.corruptions_found;
    ++disk->corruptions;
    const auto put = co_await put_footers(id, footer, {disk});
    auto there = Buffer::allocate(kBlockBytes);
    const auto read = co_await disk->read(footer_offset(id), there);
    const auto back = format::decode_footer(there.bytes());
    if (put.ok() && read.ok() && back.ok() && *back == footer) {
      ++stripes_.counters.corruptions_repaired;
    } else if (!disk->failed()) {
      disk->fail("does not give back what was written over a bad place");
    }
  }
}

}  // namespace square::pool
