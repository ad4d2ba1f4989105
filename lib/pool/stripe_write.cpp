#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/parallel.hpp"
#include "pool/strip_codec.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {
namespace {

Result<std::vector<std::uint32_t>> sizes_of(const std::vector<StripeItem>& items) {
  std::vector<std::uint32_t> sizes;
  std::uint64_t total = 0;
  for (const auto& item : items) {
    const auto size = total_size(item.bytes);
    total += size;
    if (size == 0 || total > UINT32_MAX)
      return Error{Code::kInvalid, "a stripe's items are empty or exceed 4 GiB"};
    sizes.push_back(static_cast<std::uint32_t>(size));
  }
  if (sizes.empty()) return Error{Code::kInvalid, "a stripe needs an item"};
  return sizes;
}

}  // namespace

Async<WrittenStripe> StripeIo::write(StripeClass kind, std::vector<StripeItem> items) {
  SQ_CO_TRY(const auto sizes, sizes_of(items));
  SQ_CO_TRY(auto range, segments_->allocate(kind, members_->writable_slots(), sizes));
  WrittenStripe out;
  auto& stripe = out.stripe;
  stripe.segment = range.segment;
  stripe.generation = range.generation;
  stripe.stripe_block = range.stripe_block;
  stripe.strip_blocks = static_cast<std::uint16_t>(range.packing.strip_blocks);
  stripe.k = range.k;
  stripe.m = range.m;
  stripe.slots = std::move(range.slots);
  std::vector<MemberDiskPtr> disks;
  for (const auto slot : stripe.slots) {
    disks.push_back(members_->live(slot));
    if (members_->rebuilding(slot)) members_->set_built(slot, stripe.segment, true);
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto offset = range.packing.offsets[i];
    out.places.push_back(
        {stripe.segment, stripe.generation, stripe.stripe_block, stripe.strip_blocks, offset});
    if (kind == StripeClass::kIndex) continue;
    stripe.extents.push_back(items[i].extent);
    stripe.extents.back().byte_offset = offset;
    stripe.extents.back().stored_bytes = sizes[i];
  }
  const auto key = key_of(stripe);
  pending_[key].stripe = stripe;
  ++writing_[key.segment];
  auto result = co_await write_strips(stripe, std::move(items), kind, std::move(disks));
  if (--writing_[key.segment] == 0) writing_.erase(key.segment);
  write_ended_.pulse();
  if (!result.ok()) {
    SQ_PROBE("a stripe lost a member before it was durable");
    pending_.erase(key);
    co_return std::move(result).error().context("write stripe in segment " +
                                                std::to_string(key.segment.value));
  }
  const auto pending = pending_.find(key);
  if (pending != pending_.end()) {
    pending->second.stripe = stripe;
    pending->second.written = true;
  }
  co_return std::move(out);
}

// A strip that is late lands when nobody waits for it any more: not in the segment's next use.
Async<> StripeIo::hold_and_write(SegmentId segment, MemberDiskPtr disk, std::uint64_t offset,
                                 BufferChain chain) {
  const SegmentTable::Reader reader(segments_, segment);
  co_return co_await disk->write(offset, std::move(chain));
}

Task<void> StripeIo::wait_writes_of(SegmentId segment) {
  while (writing_.contains(segment)) co_await write_ended_.wait();
}

Async<> StripeIo::write_strips(format::StripeDescriptor& stripe, std::vector<StripeItem> items,
                               StripeClass kind, std::vector<MemberDiskPtr> disks) {
  const auto strip_bytes = std::size_t{stripe.strip_blocks} * kBlockBytes;
  const auto k = stripe.k, m = stripe.m;
  std::vector<std::uint32_t> offsets;
  std::uint32_t end = 0;
  if (kind == StripeClass::kIndex) {
    SQ_CHECK(items.size() == 1, "a checkpoint file's stripe has one item");
    offsets.push_back(end);
  }
  for (const auto& extent : stripe.extents) offsets.push_back(extent.byte_offset);
  CodedStrips coded;
  if (strip_bytes * (k + m) <= kInlineBytes) {
    coded = code_strips(items, offsets, k, m, strip_bytes);
  } else {
    auto work = [items = std::move(items), offsets = std::move(offsets), k, m, strip_bytes] {
      return code_strips(items, offsets, k, m, strip_bytes);
    };
    coded = co_await env::offload(loop_, std::move(work));
  }
  stripe.checksums = std::move(coded.checksums);

  const auto offset = offset_of(stripe.segment, stripe.stripe_block);
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < disks.size(); ++i) {
    BufferChain chain{coded.strip(i, k, strip_bytes)};
    auto write = hold_and_write(stripe.segment, disks[i], offset, std::move(chain));
    tasks.push_back(
        prompt_.run(stripe.slots[i], RequestKind::kWrite, strip_bytes, std::move(write)));
  }
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  if (kind == StripeClass::kIndex) {
    counters.checkpoint_bytes += strip_bytes * disks.size();
  } else {
    counters.data_bytes += strip_bytes * k;
    counters.parity_bytes += strip_bytes * m;
  }
  tasks.clear();
  for (std::size_t i = 0; i < disks.size(); ++i)
    tasks.push_back(prompt_.run(stripe.slots[i], RequestKind::kFlush, 0, disks[i]->flush()));
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  // Flushed once does not mean there: a disk that failed in the meantime may have lost it.
  for (std::size_t i = 0; i < disks.size(); ++i)
    if (members_->live(stripe.slots[i]) != disks[i])
      co_return Error{Code::kIo, "slot " + std::to_string(stripe.slots[i].value) + " was lost"};
  co_return Result<>();
}

}  // namespace square::pool
