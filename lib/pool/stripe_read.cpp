#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/parallel.hpp"
#include "pool/part_reads.hpp"
#include "pool/strip_codec.hpp"

namespace square::pool {

namespace {

// Of a read that others of its stripe may go along with; smaller ones come alone.
constexpr std::uint32_t kSharedBytesMin = 32u << 10;

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
    return Error{Code::kNotFound,
                 "segment " + std::to_string(place.segment.value) + " is in another generation"};
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
  const auto direct = start_parts(place, size);
  std::optional<Listed> listed;
  if (size >= kSharedBytesMin && lacks_a_member(place.segment)) {
    listed.emplace(this, StripeKey{place.segment, place.generation, place.stripe_block}, direct);
    // Who reads on in this stripe begins in the same turn: then it can be found.
    if (direct->ended()) co_await env::yield(loop_);
  }
  co_await wait_in_time(direct, late_after(place, *direct));
  if (!direct->ended() && verify) {
    auto raced = co_await race(place, direct, verify);
    if (raced.ok() || raced.failed_with(Code::kNotFound)) co_return raced;
  }
  while (!direct->ended()) co_await direct->changed.wait();
  const auto wanted = direct->wanted(direct->window);
  if (direct->whole() && (!verify || verify(wanted.bytes()))) co_return wanted;
  if (!direct->whole() && !direct->unreadable() && verify) {
    // Absent strips need no checksums of whole strips as long as the content proves itself.
    SQ_CO_TRY(const auto stripe, find(place));
    const auto around = co_await read_around(stripe, direct->parts, direct->faults);
    if (around.ok() && verify(wanted.bytes())) co_return wanted;
  }
  co_return co_await read_degraded(place, size, std::move(verify));
}

Result<format::StripeDescriptor> StripeIo::find(const format::Place& place) const {
  const StripeKey key{place.segment, place.generation, place.stripe_block};
  const auto pending = pending_.find(key);
  if (pending != pending_.end() && pending->second.written) return pending->second.stripe;
  const auto adopted = adopted_.find(key);
  if (adopted != adopted_.end()) return adopted->second;
  if (find_index_stripe && segments_->at(place.segment).kind == StripeClass::kIndex)
    if (auto stripe = find_index_stripe(key)) return std::move(*stripe);
  const auto name = "stripe at block " + std::to_string(place.stripe_block) + " of segment " +
                    std::to_string(place.segment.value);
  if (catalog == nullptr) return Error{Code::kUnavailable, name + ": no catalog yet"};
  auto found = catalog->find(place.segment, place.generation, place.stripe_block);
  if (!found.ok()) return std::move(found).error().context("find the " + name);
  if (!found->has_value()) {
    // A reader that waited long: what it came for has moved or was overwritten meanwhile.
    if (segments_->at(place.segment).state == SegmentTable::State::kReleased)
      return Error{Code::kNotFound, name + ": the segment was released meanwhile"};
    return Error{Code::kDataLoss, name + ": nothing describes it"};
  }
  SQ_TRY(segments_->check_fits(**found));
  if ((*found)->strip_blocks != place.strip_blocks)
    return Error{Code::kDataLoss, name + ": its description differs from the place"};
  return std::move(**found);
}

// Of the disk that was the strip's holder when the buffer was made: it may be another, or none, by
// the time that this runs.
Async<> StripeIo::read_strip(MemberDiskPtr disk, const format::StripeDescriptor& stripe,
                             std::uint32_t from, Buffer into) {
  if (!disk) co_return Error{Code::kIo, "the slot is empty"};
  const auto offset = offset_of(stripe.segment, stripe.stripe_block) + from;
  co_return co_await disk->read(offset, std::move(into));
}

bool StripeIo::lacks_a_member(SegmentId segment) const {
  return std::ranges::any_of(segments_->at(segment).slots,
                             [&](Slot slot) { return members_->holder(slot, segment) == nullptr; });
}

std::optional<StripeIo::Sibling> StripeIo::sibling_with(const StripeKey& key, std::size_t strip,
                                                        std::uint32_t from,
                                                        std::uint32_t end) const {
  const auto [first, last] = listed_.equal_range(key);
  for (auto at = first; at != last; ++at) {
    const auto& reads = *at->second;
    for (std::size_t i = 0; i < reads.parts.size(); ++i) {
      const auto& part = reads.parts[i];
      if (part.strip == strip && part.from <= from && end <= part.from + part.into.size() &&
          (reads.faults[i] == StripFault::kNone || reads.faults[i] == StripFault::kNotRead))
        return Sibling{at->second, i, from - part.from};
    }
  }
  return std::nullopt;
}

StripeIo::Sibling StripeIo::start_strip(const format::StripeDescriptor& stripe, std::size_t strip,
                                        std::uint32_t from, std::uint32_t end) {
  const Part part{strip, from, Buffer::allocate(end - from)};
  auto reads = std::make_shared<PartReads>(loop_, segments_, stripe.segment, part);
  reads->waiting = 1;
  scope_.spawn(run_part(reads, 0, members_->holder(stripe.slots[strip], stripe.segment),
                        offset_of(stripe.segment, stripe.stripe_block) + from));
  return {std::move(reads), 0, 0};
}

Async<> StripeIo::take_strip(Sibling sibling, std::uint32_t size, Buffer* into) {
  auto& reads = *sibling.reads;
  while (reads.faults[sibling.part] == StripFault::kNotRead) co_await reads.changed.wait();
  if (reads.faults[sibling.part] != StripFault::kNone)
    co_return Error{Code::kIo, "a strip cannot be read"};
  *into = reads.parts[sibling.part].into.slice(sibling.skip, size);
  co_return {};
}

// The strips that can be read, those of disks that lag behind their peers last.
std::vector<std::size_t> StripeIo::quick_first(const format::StripeDescriptor& stripe,
                                               const std::vector<bool>& gone,
                                               std::uint64_t size) const {
  std::vector<std::size_t> strips, lagging;
  for (std::size_t i = 0; i < stripe.slots.size(); ++i) {
    const auto slot = stripe.slots[i];
    if (gone[i] || !members_->holder(slot, stripe.segment)) continue;
    (members_->lags(slot, RequestKind::kRead, size) ? lagging : strips).push_back(i);
  }
  strips.insert(strips.end(), lagging.begin(), lagging.end());
  return strips;
}

// Recovers the missing parts from the same blocks of k other strips. Nothing proves these right:
// the caller's verify does, or the whole strips are read.
Async<> StripeIo::read_around(const format::StripeDescriptor& stripe,
                              const std::vector<Part>& parts,
                              const std::vector<StripFault>& faults) {
  std::vector<bool> gone(stripe.slots.size());
  std::uint32_t from = UINT32_MAX, end = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (faults[i] == StripFault::kNone) continue;
    gone[parts[i].strip] = true;
    from = std::min(from, parts[i].from);
    end = std::max(end, parts[i].from + static_cast<std::uint32_t>(parts[i].into.size()));
  }
  std::vector<Buffer> strips(stripe.slots.size());
  std::vector<Async<>> tasks;
  std::vector<std::unique_ptr<Listed>> listed;
  const auto key = key_of(stripe);
  const bool alone = listed_.count(key) <= 1;
  for (const auto i : quick_first(stripe, gone, end - from)) {
    if (tasks.size() == stripe.k) break;
    auto sibling = sibling_with(key, i, from, end);
    if (sibling) {
      SQ_PROBE("a strip for recovery came from another read of its stripe");
    } else if (!alone) {
      sibling = start_strip(stripe, i, from, end);
      listed.push_back(std::make_unique<Listed>(this, key, sibling->reads));
    }
    if (sibling) {
      tasks.push_back(take_strip(std::move(*sibling), end - from, &strips[i]));
    } else {
      strips[i] = Buffer::allocate(end - from);
      tasks.push_back(
          read_strip(members_->holder(stripe.slots[i], stripe.segment), stripe, from, strips[i]));
    }
  }
  if (tasks.size() < stripe.k) co_return Error{Code::kIo, "too few strips are left"};
  for (const auto& result : co_await run_all(loop_, std::move(tasks))) SQ_CO_TRY(result);
  std::vector<Buffer> right_there(stripe.slots.size());
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (faults[i] != StripFault::kNone && parts[i].into.size() == end - from)
      right_there[parts[i].strip] = parts[i].into;
  recover_strips(strips, gone, stripe.k, stripe.m, end - from, right_there);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto into = parts[i].into;
    if (faults[i] == StripFault::kNone || into.size() == end - from) continue;
    std::memcpy(into.data(), strips[parts[i].strip].data() + (parts[i].from - from), into.size());
  }
  co_return Result<>();
}

Async<Buffer> StripeIo::read_degraded(format::Place place, std::uint32_t size,
                                      Pool::Verify verify) {
  SQ_CO_TRY(const auto stripe, find(place));
  SQ_CO_TRY(auto bytes, co_await read_verified(stripe, place.byte_offset, size));
  if (!verify || verify(bytes.bytes())) co_return bytes;
  // Every strip matches its checksum and yet the content is not what was expected: a wrong place,
  // or bytes that were wrong when they were written.
  SQ_PROBE("a stripe is sound and its content is not what was expected");
  co_return Error{Code::kDataLoss, "segment " + std::to_string(place.segment.value) +
                                       ", stripe at block " + std::to_string(place.stripe_block) +
                                       ": all strips match their checksums, the content does not"};
}

}  // namespace square::pool
