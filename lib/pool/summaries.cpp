#include "pool/summaries.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/layout.hpp"
#include "pool/parallel.hpp"
#include "pool/strip_codec.hpp"

namespace square::pool {

using State = SegmentTable::State;

Summaries::Summaries(env::Loop& loop, std::shared_ptr<Members> members,
                     std::shared_ptr<SegmentTable> segments, StripeIo& stripes)
    : loop_(loop),
      members_(std::move(members)),
      segments_(std::move(segments)),
      stripes_(stripes),
      at_work_(loop) {}

std::uint64_t Summaries::footer_offset(SegmentId id) const {
  const auto& geometry = members_->geometry();
  return chunk_offset(geometry, id) + geometry.chunk_bytes - kBlockBytes;
}

void Summaries::note(const format::StripeDescriptor& stripe) {
  auto& summary = noted_[stripe.segment];
  if (summary.generation != stripe.generation) {
    summary = {};
    summary.segment = stripe.segment;
    summary.generation = stripe.generation;
  }
  summary.stripes.push_back(stripe);
}

void Summaries::forget(SegmentId id) {
  wanted_.erase(id);
  later_.erase(id);
  noted_.erase(id);
}

bool Summaries::ready(SegmentId id) const {
  const auto& segment = segments_->at(id);
  return segment.state == State::kClosed && segment.kind != StripeClass::kIndex &&
         segment.indexed && !segment.summarized && !stripes_.has_unindexed(id) &&
         stripes_.catalog != nullptr;
}

bool Summaries::any_ready() const {
  return std::ranges::any_of(wanted_, [this](SegmentId id) { return ready(id); });
}

Task<void> Summaries::write_wanted() {
  const std::vector wanted(wanted_.begin(), wanted_.end());
  for (const auto id : wanted) {
    if (stopping_ || loop_.ending()) co_return;
    const auto lock = co_await at_work_.lock();
    if (segments_->at(id).state != State::kClosed || segments_->at(id).summarized)
      wanted_.erase(id);
    if (!wanted_.contains(id) || !ready(id)) continue;
    const SegmentTable::Reader reader(segments_, id);
    const auto settled = co_await settle(id);
    wanted_.erase(id);
    if (settled.ok())
      noted_.erase(id);
    else if (settled.code() == Code::kIo)
      later_.insert(id);
  }
}

// What the writers said of a segment of this run; of an older one, what the index says.
Result<format::SegmentSummary> Summaries::compose(SegmentId id) const {
  const auto& segment = segments_->at(id);
  format::SegmentSummary summary;
  const auto noted = noted_.find(id);
  if (noted != noted_.end() && noted->second.generation == segment.generation) {
    summary = noted->second;
  } else {
    SQ_TRY(summary.stripes, stripes_.catalog->in_segment(id));
    std::erase_if(summary.stripes, [&](const format::StripeDescriptor& stripe) {
      return stripe.generation != segment.generation;
    });
  }
  summary.pool = members_->pool();
  summary.segment = id;
  summary.generation = segment.generation;
  summary.kind = static_cast<std::uint8_t>(segment.kind);
  std::ranges::sort(summary.stripes, {}, &format::StripeDescriptor::stripe_block);
  if (SQ_PLANTED("summary_misses_stripe") && !summary.stripes.empty()) summary.stripes.pop_back();
  return summary;
}

Async<> Summaries::settle(SegmentId id) {
  const auto footers = co_await read_footers(id);
  const auto found = co_await read_by(footers, id);
  if (found.ok()) {
    SQ_PROBE("a summary that a crash had cut short was completed");
    SQ_CO_TRY(co_await put_footers(id, found->second, disks_without(id, footers, found->second)));
  } else {
    SQ_CO_TRY(auto summary, compose(id));
    SQ_CO_TRY(co_await write(id, std::move(summary)));
  }
  segments_->set_summarized(id, true);
  co_return Result<>();
}

Async<> Summaries::write(SegmentId id, format::SegmentSummary summary) {
  const auto& geometry = members_->geometry();
  const auto chunk_blocks = geometry.chunk_bytes / kBlockBytes;
  const auto k = segments_->at(id).k, m = segments_->at(id).m;
  std::vector<StripeItem> items(1);
  items[0].bytes.push_back(Buffer::copy_of(format::encode_summary(summary)));
  const auto& bytes = items[0].bytes[0];
  format::SummaryFooter footer;
  footer.pool = members_->pool();
  footer.bytes = static_cast<std::uint32_t>(bytes.size());
  footer.checksum = codec::checksum64(bytes.bytes());
  auto& stripe = footer.stripe;
  const auto blocks = summary_blocks(bytes.size(), k);
  const auto used = summary.stripes.empty()
                        ? 0
                        : summary.stripes.back().stripe_block + summary.stripes.back().strip_blocks;
  if (blocks > UINT16_MAX || used + blocks + 1 > chunk_blocks)
    co_return Error{Code::kConflict,
                    "segment " + std::to_string(id.value) + " has no room for its summary"};
  stripe.segment = id;
  stripe.generation = summary.generation;
  stripe.stripe_block = chunk_blocks - 1 - blocks;
  stripe.strip_blocks = static_cast<std::uint16_t>(blocks);
  stripe.k = k;
  stripe.m = m;
  stripe.slots = rotated(segments_->at(id).slots, id, stripe.stripe_block);

  const auto strip_bytes = std::size_t{blocks} * kBlockBytes;
  auto code = [items = std::move(items), k, m, strip_bytes] {
    return code_strips(items, {0}, k, m, strip_bytes);
  };
  CodedStrips coded;
  if (strip_bytes * (k + m) <= kInlineBytes) {
    coded = code();
  } else {
    coded = co_await env::offload(loop_, std::move(code));
  }
  stripe.checksums = coded.checksums;
  // Whoever lives gets its strip: the segment itself may have lost a member since it was opened,
  // and a rebuild brings the rest.
  std::vector<MemberDiskPtr> disks;
  std::vector<BufferChain> strips;
  for (std::size_t i = 0; i < stripe.slots.size(); ++i) {
    const auto disk = members_->live(stripe.slots[i]);
    if (!disk) continue;
    disks.push_back(disk);
    strips.push_back({coded.strip(i, k, strip_bytes)});
  }
  const auto offset = chunk_offset(geometry, id) + std::uint64_t{stripe.stripe_block} * kBlockBytes;
  SQ_CO_TRY(co_await put(disks, offset, std::move(strips), k));
  stripes_.counters.data_bytes += strip_bytes * k;
  stripes_.counters.parity_bytes += strip_bytes * m;
  stripes_.counters.summary_bytes += strip_bytes * disks.size();
  stripes_.note_rewritten(key_of(stripe));
  co_return co_await put_footers(id, std::move(footer), std::move(disks));
}

Async<> Summaries::put_footers(SegmentId id, format::SummaryFooter footer,
                               std::vector<MemberDiskPtr> disks) {
  const auto block = Buffer::copy_of(format::encode_footer(footer));
  std::vector<BufferChain> chains(disks.size(), BufferChain{block});
  stripes_.counters.data_bytes += kBlockBytes * disks.size();
  stripes_.counters.summary_bytes += kBlockBytes * disks.size();
  co_return co_await put(std::move(disks), footer_offset(id), std::move(chains), 1);
}

// Written and flushed, on `enough` of the disks at least.
Async<> Summaries::put(std::vector<MemberDiskPtr> disks, std::uint64_t offset,
                       std::vector<BufferChain> chains, std::size_t enough) {
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < disks.size(); ++i)
    tasks.push_back(disks[i]->write(offset, std::move(chains[i])));
  auto results = co_await run_all(loop_, std::move(tasks));
  tasks.clear();
  for (const auto& disk : disks) tasks.push_back(disk->flush());
  const auto flushed = co_await run_all(loop_, std::move(tasks));
  std::size_t good = 0;
  for (std::size_t i = 0; i < disks.size(); ++i)
    good += results[i].ok() && flushed[i].ok() && !disks[i]->failed() ? 1 : 0;
  if (good < enough) co_return Error{Code::kIo, "too few disks took the summary"};
  co_return Result<>();
}

}  // namespace square::pool
