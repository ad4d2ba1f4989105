#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/parallel.hpp"
#include "pool/strip_codec.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {

Async<Buffer> StripeIo::read_verified(format::StripeDescriptor stripe, std::uint32_t from,
                                      std::uint32_t size) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  const auto strip_bytes = std::uint32_t{stripe.strip_blocks} * kBlockBytes;
  SQ_CHECK(size > 0 && std::uint64_t{from} + size <= std::uint64_t{strip_bytes} * stripe.k);
  StripSet set;
  set.strips.resize(stripe.slots.size());
  set.faults.assign(stripe.slots.size(), StripFault::kNotRead);
  std::vector<bool> wanted(stripe.slots.size());
  std::vector<std::size_t> touched, rest;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    wanted[i] = i >= from / strip_bytes && i <= (from + size - 1) / strip_bytes;
    (wanted[i] ? touched : rest).push_back(i);
  }
  const auto enough = touched.size();
  co_await check_strips(stripe, set, std::move(touched));
  if (set.good < enough) co_await check_strips(stripe, set, std::move(rest));
  note_damage(stripe, set);
  SQ_CO_TRY(co_await recover(stripe, set, std::move(wanted)));
  if (from / strip_bytes == (from + size - 1) / strip_bytes)
    co_return set.strips[from / strip_bytes].slice(from % strip_bytes, size);
  auto out = Buffer::allocate(size);
  for (std::uint32_t done = 0; done < size;) {
    const auto at = from + done;
    const auto part = std::min(size - done, strip_bytes - at % strip_bytes);
    std::memcpy(out.data() + done, set.strips[at / strip_bytes].data() + at % strip_bytes, part);
    done += part;
  }
  co_return out;
}

Task<StripSet> StripeIo::read_strips(format::StripeDescriptor stripe, HowMany how_many) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  StripSet set;
  set.strips.resize(stripe.slots.size());
  set.faults.assign(stripe.slots.size(), StripFault::kNotRead);
  std::vector<std::size_t> first, rest;
  for (std::size_t i = 0; i < stripe.slots.size(); ++i) {
    const bool have = members_->holder(stripe.slots[i], stripe.segment) != nullptr;
    const bool wanted = how_many == HowMany::kAll || (have && first.size() < stripe.k);
    (wanted ? first : rest).push_back(i);
  }
  co_await check_strips(stripe, set, std::move(first));
  if (set.good < stripe.k) co_await check_strips(stripe, set, std::move(rest));
  note_damage(stripe, set);
  co_return set;
}

Task<void> StripeIo::check_strips(const format::StripeDescriptor& stripe, StripSet& set,
                                  std::vector<std::size_t> which) {
  const auto strip_bytes = std::size_t{stripe.strip_blocks} * kBlockBytes;
  std::vector<MemberDiskPtr> disks;
  std::vector<Buffer> buffers;
  std::vector<Async<>> tasks;
  for (const auto i : which) {
    disks.push_back(members_->holder(stripe.slots[i], stripe.segment));
    buffers.push_back(disks.back() ? Buffer::allocate(strip_bytes) : Buffer());
    tasks.push_back(read_strip(disks.back(), stripe, 0, buffers.back()));
  }
  const auto results = co_await run_all(loop_, std::move(tasks));
  auto checksums = [buffers] {
    std::vector<std::uint64_t> sums;
    for (const auto& buffer : buffers) sums.push_back(codec::checksum64(buffer.bytes()));
    return sums;
  };
  std::vector<std::uint64_t> sums;
  if (which.size() * strip_bytes <= kInlineBytes) {
    sums = checksums();
  } else {
    sums = co_await env::offload(loop_, std::move(checksums));
  }
  for (std::size_t n = 0; n < which.size(); ++n) {
    const auto i = which[n];
    const bool alive = disks[n] && !disks[n]->failed();
    if (!results[n].ok()) {
      set.faults[i] = alive ? StripFault::kUnreadable : StripFault::kAbsent;
    } else if (sums[n] != stripe.checksums[i] && !SQ_PLANTED("strip_checksum_ignored")) {
      set.faults[i] = StripFault::kRotten;
    } else {
      set.faults[i] = StripFault::kNone;
      set.strips[i] = buffers[n];
      ++set.good;
    }
  }
}

void StripeIo::note_damage(const format::StripeDescriptor& stripe, const StripSet& set) {
  bool news = false, any = false;
  for (std::size_t i = 0; i < set.faults.size(); ++i) {
    if (set.faults[i] != StripFault::kRotten && set.faults[i] != StripFault::kUnreadable) continue;
    any = true;
    if (!damaged_[key_of(stripe)].insert(i).second) continue;
    news = true;
    ++counters.corruptions_found;
    if (const auto disk = members_->live(stripe.slots[i])) ++disk->corruptions;
  }
  if (any && mend) mend(stripe);
  if (!news) return;
  SQ_PROBE("a rotten strip was found");
  if (on_damaged) on_damaged(stripe);
}

void StripeIo::note_mended(const StripeKey& key, std::size_t strip) {
  const auto damaged = damaged_.find(key);
  if (damaged == damaged_.end() || damaged->second.erase(strip) == 0) return;
  ++counters.corruptions_repaired;
  if (damaged->second.empty()) damaged_.erase(damaged);
}

bool StripeIo::is_damaged(const StripeKey& key, std::size_t strip) const {
  const auto found = damaged_.find(key);
  return found != damaged_.end() && found->second.contains(strip);
}

Async<> StripeIo::recover(const format::StripeDescriptor& stripe, StripSet& set,
                          std::vector<bool> wanted) {
  std::size_t absent = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) absent += wanted[i] && set.strips[i].empty();
  if (absent == 0) co_return Result<>();
  if (set.good < stripe.k) co_return lost(stripe, set);
  const auto k = stripe.k, m = stripe.m;
  const auto strip_bytes = std::size_t{stripe.strip_blocks} * kBlockBytes;
  auto work = [strips = set.strips, wanted = std::move(wanted), k, m, strip_bytes]() mutable {
    recover_strips(strips, wanted, k, m, strip_bytes);
    return strips;
  };
  if (strip_bytes * k <= kInlineBytes) {
    set.strips = work();
  } else {
    set.strips = co_await env::offload(loop_, std::move(work));
  }
  co_return Result<>();
}

Error StripeIo::lost(const format::StripeDescriptor& stripe, const StripSet& set) const {
  std::string message = "segment " + std::to_string(stripe.segment.value) + ", stripe at block " +
                        std::to_string(stripe.stripe_block) + ": only " + std::to_string(set.good) +
                        " of " + std::to_string(stripe.k) + " strips needed are good; bad in slots";
  for (std::size_t i = 0; i < set.faults.size(); ++i) {
    if (set.faults[i] == StripFault::kNone) continue;
    message += " " + std::to_string(stripe.slots[i].value);
    message += set.faults[i] == StripFault::kAbsent       ? " (missing)"
               : set.faults[i] == StripFault::kUnreadable ? " (unreadable)"
                                                          : " (checksum)";
  }
  return {Code::kDataLoss, std::move(message)};
}

Async<std::vector<bool>> StripeIo::strips_to_write(const format::StripeDescriptor& stripe,
                                                   const StripSet& set, Purpose purpose) {
  std::vector<bool> wanted(stripe.slots.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto slot = stripe.slots[i];
    const auto disk = members_->live(slot);
    if (!disk) continue;
    if (purpose == Purpose::kMend) {
      wanted[i] = set.faults[i] == StripFault::kRotten || set.faults[i] == StripFault::kUnreadable;
      continue;
    }
    wanted[i] = members_->holder(slot, stripe.segment) == nullptr;
    if (!wanted[i] || purpose == Purpose::kFill) continue;
    auto there = Buffer::allocate(std::size_t{stripe.strip_blocks} * kBlockBytes);
    const auto read = co_await disk->read(offset_of(stripe.segment, stripe.stripe_block), there);
    if (read.ok() && codec::checksum64(there.bytes()) == stripe.checksums[i]) wanted[i] = false;
  }
  co_return wanted;
}

Async<std::uint32_t> StripeIo::restore(format::StripeDescriptor stripe, Purpose purpose) {
  const bool mending = purpose == Purpose::kMend;
  if (!current(stripe)) {
    if (mending) note_rewritten(key_of(stripe));  // nobody needs it any more
    co_return 0u;
  }
  const SegmentTable::Reader reader(segments_, stripe.segment);
  auto set = co_await read_strips(stripe, mending ? HowMany::kAll : HowMany::kEnough);
  // Two readers may have met the same rot, and the second told of it when it was mended already; or
  // the disk gave other bytes only once.
  for (std::size_t i = 0; mending && i < set.faults.size(); ++i)
    if (set.faults[i] == StripFault::kNone) note_mended(key_of(stripe), i);
  SQ_CO_TRY(const auto wanted, co_await strips_to_write(stripe, set, purpose));
  SQ_CO_TRY(co_await recover(stripe, set, wanted));
  const auto offset = offset_of(stripe.segment, stripe.stripe_block);
  std::vector<Async<>> tasks;
  std::vector<std::size_t> written;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto disk = members_->live(stripe.slots[i]);
    if (!wanted[i] || !disk) continue;
    if (codec::checksum64(set.strips[i].bytes()) != stripe.checksums[i])
      co_return Error{Code::kDataLoss, "a recovered strip does not match its checksum"};
    BufferChain chain{set.strips[i]};
    tasks.push_back(disk->write(offset, std::move(chain)));
    written.push_back(i);
  }
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  counters.rebuilt_bytes += written.size() * stripe.strip_blocks * kBlockBytes;
  for (const auto i : written) {
    if (!is_damaged(key_of(stripe), i)) continue;
    SQ_CO_TRY(co_await prove_mended(stripe, i));
    note_mended(key_of(stripe), i);
  }
  co_return static_cast<std::uint32_t>(written.size());
}

// A place that was bad once is trusted again only when it gives back what was written; a disk that
// cannot do that is worn out.
Async<> StripeIo::prove_mended(const format::StripeDescriptor& stripe, std::size_t strip) {
  const auto disk = members_->live(stripe.slots[strip]);
  if (!disk) co_return Error{Code::kIo, "the slot is empty"};
  SQ_CO_TRY(co_await disk->flush());
  auto there = Buffer::allocate(std::size_t{stripe.strip_blocks} * kBlockBytes);
  const auto read = co_await disk->read(offset_of(stripe.segment, stripe.stripe_block), there);
  if (read.ok() && codec::checksum64(there.bytes()) == stripe.checksums[strip])
    co_return Result<>();
  SQ_PROBE("a disk did not give back what was mended");
  disk->fail("does not give back what was written over a bad place");
  co_return Error{Code::kIo, "disk " + disk->path() + " cannot be mended"};
}

bool StripeIo::current(const format::StripeDescriptor& stripe) const {
  const auto& segment = segments_->at(stripe.segment);
  return segment.state != SegmentTable::State::kFree &&
         segment.state != SegmentTable::State::kDiscarding &&
         segment.generation == stripe.generation;
}

void StripeIo::forget(const StripeKey& key) {
  pending_.erase(key);
  adopted_.erase(key);
}

void StripeIo::segment_released(SegmentId segment) {
  SQ_CHECK(!has_unindexed(segment), "a segment was released while the index lacks a stripe of it");
  const auto in_it = [&](const auto& entry) { return entry.first.segment == segment; };
  for (const auto& [key, strips] : damaged_)
    if (key.segment == segment) counters.corruptions_repaired += strips.size();
  std::erase_if(damaged_, in_it);
}

const format::StripeDescriptor* StripeIo::written(const StripeKey& key) const {
  const auto found = pending_.find(key);
  return found != pending_.end() && found->second.written ? &found->second.stripe : nullptr;
}

void StripeIo::note_rewritten(const StripeKey& key) {
  const auto damaged = damaged_.find(key);
  if (damaged == damaged_.end()) return;
  counters.corruptions_repaired += damaged->second.size();
  damaged_.erase(damaged);
}

std::vector<bool> StripeIo::gone(const format::StripeDescriptor& stripe) const {
  std::vector<bool> gone(stripe.slots.size());
  for (std::size_t i = 0; i < gone.size(); ++i)
    gone[i] = !members_->holder(stripe.slots[i], stripe.segment) || is_damaged(key_of(stripe), i);
  return gone;
}

std::vector<std::pair<StripeKey, std::size_t>> StripeIo::damaged_stripes() const {
  std::vector<std::pair<StripeKey, std::size_t>> stripes;
  for (const auto& [key, strips] : damaged_) stripes.emplace_back(key, strips.size());
  return stripes;
}

bool StripeIo::has_unindexed(SegmentId segment) const {
  const auto in_it = [&](const auto& stripes) {
    const auto first = stripes.lower_bound(StripeKey{segment, {}, 0});
    return first != stripes.end() && first->first.segment == segment;
  };
  return in_it(pending_) || in_it(adopted_);
}

std::vector<format::StripeDescriptor> StripeIo::pending_in(SegmentId segment) const {
  std::vector<format::StripeDescriptor> stripes;
  for (const auto& [key, pending] : pending_)
    if (key.segment == segment && pending.written) stripes.push_back(pending.stripe);
  for (const auto& [key, stripe] : adopted_)
    if (key.segment == segment) stripes.push_back(stripe);
  return stripes;
}

}  // namespace square::pool
