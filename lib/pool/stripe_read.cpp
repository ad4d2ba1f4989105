#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/parallel.hpp"
#include "pool/strip_codec.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {

// Whole blocks of one strip, and where they go.
struct StripeIo::Part {
  std::size_t strip = 0;
  std::uint32_t from = 0;
  Buffer into;
};

namespace {

// The blocks that hold [from, from + size) of the data, and the piece of them that was asked for.
struct Window {
  std::uint32_t first = 0, last = 0;  // block-aligned
  Buffer buffer;
  Window(std::uint32_t from, std::uint32_t size)
      : first(from / kBlockBytes * kBlockBytes),
        last(static_cast<std::uint32_t>(align_up(std::uint64_t{from} + size, kBlockBytes))),
        buffer(Buffer::allocate(last - first)) {}
};

}  // namespace

std::uint64_t StripeIo::offset_of(SegmentId segment, std::uint32_t stripe_block) const {
  return chunk_offset(members_->geometry(), segment) + std::uint64_t{stripe_block} * kBlockBytes;
}

Result<> StripeIo::check_place(const format::Place& place, std::uint32_t size) const {
  using State = SegmentTable::State;
  if (place.segment.value >= segments_->size())
    return Error{Code::kNotFound, "no segment " + std::to_string(place.segment.value)};
  const auto& segment = segments_->at(place.segment);
  if (segment.state == State::kFree || segment.state == State::kDiscarding ||
      segment.generation != place.generation)
    return Error{Code::kNotFound, "segment " + std::to_string(place.segment.value) +
                                      " is in another generation"};
  const auto strip_bytes = std::uint64_t{place.strip_blocks} * kBlockBytes;
  const auto chunk_blocks = members_->geometry().chunk_bytes / kBlockBytes;
  if (size == 0 || std::uint64_t{place.byte_offset} + size > strip_bytes * segment.k ||
      std::uint64_t{place.stripe_block} + place.strip_blocks > chunk_blocks)
    return Error{Code::kInvalid, "a place outside its stripe"};
  return {};
}

Async<Buffer> StripeIo::read(format::Place place, std::uint32_t size, Pool::Verify verify) {
  SQ_CO_TRY(check_place(place, size));
  const SegmentTable::Reader reader(segments_, place.segment);
  const auto slots =
      rotated(segments_->at(place.segment).slots, place.segment, place.stripe_block);
  Window window(place.byte_offset, size);
  const auto strip_bytes = std::uint32_t{place.strip_blocks} * kBlockBytes;
  std::vector<Part> parts;
  for (auto at = window.first; at < window.last;) {
    const auto end = std::min(window.last, (at / strip_bytes + 1) * strip_bytes);
    parts.push_back({at / strip_bytes, at % strip_bytes,
                     window.buffer.slice(at - window.first, end - at)});
    at = end;
  }
  const auto wanted = window.buffer.slice(place.byte_offset - window.first, size);
  std::vector<bool> missing(parts.size());
  auto fast = co_await read_parts(place, slots, parts, missing);
  if (fast.ok() && (!verify || verify(wanted.bytes()))) co_return wanted;
  if (!fast.ok()) {
    // Absent strips need no checksums of whole strips as long as the content proves itself.
    SQ_CO_TRY(const auto stripe, find(place));
    const auto around = co_await read_around(stripe, parts, missing);
    if (around.ok() && verify && verify(wanted.bytes())) co_return wanted;
  }
  co_return co_await read_degraded(place, size, std::move(verify), fast.ok());
}

Async<> StripeIo::read_parts(const format::Place& place, const std::vector<Slot>& slots,
                             const std::vector<Part>& parts, std::vector<bool>& missing) {
  const auto offset = offset_of(place.segment, place.stripe_block);
  if (parts.size() == 1) {
    const auto disk = members_->holder(slots[parts[0].strip], place.segment);
    missing[0] = true;
    if (!disk) co_return Error{Code::kIo, "the slot is empty"};
    SQ_CO_TRY(co_await disk->read(offset + parts[0].from, parts[0].into));
    missing[0] = false;
    co_return Result<>();
  }
  std::vector<Async<>> tasks;
  std::vector<std::size_t> part_of_task;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto disk = members_->holder(slots[parts[i].strip], place.segment);
    missing[i] = !disk;
    if (!disk) continue;
    tasks.push_back(disk->read(offset + parts[i].from, parts[i].into));
    part_of_task.push_back(i);
  }
  const auto results = co_await run_all(loop_, std::move(tasks));
  for (std::size_t i = 0; i < results.size(); ++i)
    missing[part_of_task[i]] = missing[part_of_task[i]] || !results[i].ok();
  if (std::ranges::find(missing, true) == missing.end()) co_return Result<>();
  co_return Error{Code::kIo, "strips are missing"};
}

Result<format::StripeDescriptor> StripeIo::find(const format::Place& place) const {
  const StripeKey key{place.segment, place.generation, place.stripe_block};
  const auto pending = pending_.find(key);
  if (pending != pending_.end() && complete(pending->second)) return pending->second;
  const auto adopted = adopted_.find(key);
  if (adopted != adopted_.end()) return adopted->second;
  if (find_index_stripe)
    if (auto stripe = find_index_stripe(key)) return std::move(*stripe);
  const auto name = "stripe at block " + std::to_string(place.stripe_block) + " of segment " +
                    std::to_string(place.segment.value);
  if (catalog == nullptr) return Error{Code::kUnavailable, name + ": no catalog yet"};
  auto found = catalog->find(place.segment, place.generation, place.stripe_block);
  if (!found.ok()) return std::move(found).error().context("find the " + name);
  if (!found->has_value()) return Error{Code::kDataLoss, name + ": nothing describes it"};
  SQ_TRY(segments_->check_fits(**found));
  if ((*found)->strip_blocks != place.strip_blocks)
    return Error{Code::kDataLoss, name + ": its description differs from the place"};
  return std::move(**found);
}

Async<> StripeIo::read_strip(const format::StripeDescriptor& stripe, std::size_t strip,
                             std::uint32_t from, Buffer into) {
  const auto disk = members_->holder(stripe.slots[strip], stripe.segment);
  if (!disk) co_return Error{Code::kIo, "the slot is empty"};
  const auto offset = offset_of(stripe.segment, stripe.stripe_block) + from;
  co_return co_await disk->read(offset, std::move(into));
}

// Recovers the missing parts from the same blocks of k other strips. Nothing proves these right:
// the caller's verify does, or the whole strips are read.
Async<> StripeIo::read_around(const format::StripeDescriptor& stripe,
                              const std::vector<Part>& parts, const std::vector<bool>& missing) {
  std::vector<bool> gone(stripe.slots.size());
  std::uint32_t from = UINT32_MAX, end = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!missing[i]) continue;
    gone[parts[i].strip] = true;
    from = std::min(from, parts[i].from);
    end = std::max(end, parts[i].from + static_cast<std::uint32_t>(parts[i].into.size()));
  }
  std::vector<Buffer> strips(stripe.slots.size());
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < strips.size() && tasks.size() < stripe.k; ++i) {
    if (gone[i] || !members_->holder(stripe.slots[i], stripe.segment)) continue;
    strips[i] = Buffer::allocate(end - from);
    tasks.push_back(read_strip(stripe, i, from, strips[i]));
  }
  if (tasks.size() < stripe.k) co_return Error{Code::kIo, "too few strips are left"};
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  recover_strips(strips, stripe.k, stripe.m, end - from);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!missing[i]) continue;
    auto into = parts[i].into;
    std::memcpy(into.data(), strips[parts[i].strip].data() + (parts[i].from - from), into.size());
  }
  co_return Result<>();
}

Async<Buffer> StripeIo::read_degraded(format::Place place, std::uint32_t size,
                                      Pool::Verify verify, bool content_was_wrong) {
  SQ_CO_TRY(const auto stripe, find(place));
  SQ_CO_TRY(auto bytes, co_await read_verified(stripe, place.byte_offset, size));
  if (!verify || verify(bytes.bytes())) co_return bytes;
  // Every strip matches its checksum and yet the content is not what was expected: a wrong place,
  // or bytes that were wrong when they were written.
  SQ_PROBE("a stripe is sound and its content is not what was expected");
  co_return Error{content_was_wrong ? Code::kDataLoss : Code::kDataLoss,
                  "segment " + std::to_string(place.segment.value) + ", stripe at block " +
                      std::to_string(place.stripe_block) +
                      ": all strips match their checksums, the content does not"};
}

Async<Buffer> StripeIo::read_verified(format::StripeDescriptor stripe, std::uint32_t from,
                                      std::uint32_t size) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  auto set = co_await read_strips(stripe);
  SQ_CO_TRY(recover(stripe, set));
  const auto strip_bytes = std::uint32_t{stripe.strip_blocks} * kBlockBytes;
  SQ_CHECK(std::uint64_t{from} + size <= std::uint64_t{strip_bytes} * stripe.k);
  if (size > 0 && from / strip_bytes == (from + size - 1) / strip_bytes)
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

Task<StripSet> StripeIo::read_strips(format::StripeDescriptor stripe) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  const auto strips = stripe.slots.size();
  const auto strip_bytes = std::size_t{stripe.strip_blocks} * kBlockBytes;
  StripSet set;
  set.strips.resize(strips);
  set.faults.assign(strips, StripFault::kNone);
  std::vector<MemberDiskPtr> disks(strips);
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < strips; ++i) {
    disks[i] = members_->holder(stripe.slots[i], stripe.segment);
    set.strips[i] = disks[i] ? Buffer::allocate(strip_bytes) : Buffer();
    tasks.push_back(read_strip(stripe, i, 0, set.strips[i]));
  }
  const auto results = co_await run_all(loop_, std::move(tasks));
  auto checksums = [buffers = set.strips] {
    std::vector<std::uint64_t> sums;
    for (const auto& buffer : buffers) sums.push_back(codec::checksum64(buffer.bytes()));
    return sums;
  };
  const auto sums = strips * strip_bytes <= kInlineBytes
                        ? checksums()
                        : co_await env::offload(loop_, std::move(checksums));
  bool damaged = false;
  for (std::size_t i = 0; i < strips; ++i) {
    if (!results[i].ok()) {
      set.faults[i] = disks[i] && !disks[i]->failed() ? StripFault::kUnreadable
                                                      : StripFault::kAbsent;
    } else if (sums[i] != stripe.checksums[i] && !SQ_PLANTED("strip_checksum_ignored")) {
      set.faults[i] = StripFault::kRotten;
    }
    if (set.faults[i] == StripFault::kNone) {
      ++set.good;
      continue;
    }
    set.strips[i] = Buffer();
    if (set.faults[i] == StripFault::kAbsent || !damaged_[key_of(stripe)].insert(i).second)
      continue;
    damaged = true;
    ++counters.corruptions_found;
    ++disks[i]->corruptions;
  }
  if (damaged) {
    SQ_PROBE("a rotten strip was found");
    if (on_damaged) on_damaged(stripe);
  }
  co_return set;
}

Result<> StripeIo::recover(const format::StripeDescriptor& stripe, StripSet& set) const {
  if (set.good < stripe.k) return lost(stripe, set);
  if (set.good == set.strips.size()) return {};
  recover_strips(set.strips, stripe.k, stripe.m,
                 std::size_t{stripe.strip_blocks} * kBlockBytes);
  return {};
}

Error StripeIo::lost(const format::StripeDescriptor& stripe, const StripSet& set) const {
  std::string message = "segment " + std::to_string(stripe.segment.value) + ", stripe at block " +
                        std::to_string(stripe.stripe_block) + ": only " +
                        std::to_string(set.good) + " of " + std::to_string(stripe.k) +
                        " strips needed are good; bad in slots";
  for (std::size_t i = 0; i < set.faults.size(); ++i) {
    if (set.faults[i] == StripFault::kNone) continue;
    message += " " + std::to_string(stripe.slots[i].value);
    message += set.faults[i] == StripFault::kAbsent      ? " (missing)"
               : set.faults[i] == StripFault::kUnreadable ? " (unreadable)"
                                                          : " (checksum)";
  }
  return {Code::kDataLoss, std::move(message)};
}

Async<std::uint32_t> StripeIo::restore(format::StripeDescriptor stripe) {
  const SegmentTable::Reader reader(segments_, stripe.segment);
  // The disk may be one that holds nothing of this segment yet: read what is there all the same.
  std::vector<MemberDiskPtr> targets;
  for (const auto slot : stripe.slots) targets.push_back(members_->live(slot));
  auto set = co_await read_strips(stripe);
  const auto faults = set.faults;
  SQ_CO_TRY(recover(stripe, set));
  const auto offset = offset_of(stripe.segment, stripe.stripe_block);
  std::vector<Async<>> tasks;
  std::vector<std::size_t> strips;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    if (faults[i] == StripFault::kNone || !targets[i] || targets[i]->failed()) continue;
    if (members_->live(stripe.slots[i]) != targets[i]) continue;
    if (codec::checksum64(set.strips[i].bytes()) != stripe.checksums[i])
      co_return Error{Code::kDataLoss, "a recovered strip does not match its checksum"};
    BufferChain chain{set.strips[i]};
    tasks.push_back(targets[i]->write(offset, std::move(chain)));
    strips.push_back(i);
  }
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  tasks.clear();
  for (const auto i : strips) tasks.push_back(targets[i]->flush());
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  counters.rebuilt_bytes += strips.size() * stripe.strip_blocks * kBlockBytes;
  const auto damaged = damaged_.find(key_of(stripe));
  if (damaged != damaged_.end()) {
    for (const auto i : strips) counters.corruptions_repaired += damaged->second.erase(i);
    if (damaged->second.empty()) damaged_.erase(damaged);
  }
  co_return static_cast<std::uint32_t>(strips.size());
}

void StripeIo::forget(const StripeKey& key) {
  pending_.erase(key);
  adopted_.erase(key);
}

void StripeIo::segment_released(SegmentId segment) {
  const auto in_it = [&](const auto& entry) { return entry.first.segment == segment; };
  SQ_CHECK(std::ranges::none_of(pending_, in_it),
           "a segment was released while the index lacks a stripe of it");
  std::erase_if(adopted_, in_it);
  for (const auto& [key, strips] : damaged_)
    if (key.segment == segment) counters.corruptions_repaired += strips.size();
  std::erase_if(damaged_, in_it);
}

std::vector<format::StripeDescriptor> StripeIo::pending_in(SegmentId segment) const {
  std::vector<format::StripeDescriptor> stripes;
  for (const auto* table : {&pending_, &adopted_})
    for (const auto& [key, stripe] : *table)
      if (key.segment == segment && complete(stripe)) stripes.push_back(stripe);
  return stripes;
}

}  // namespace square::pool
