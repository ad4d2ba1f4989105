#include "pool/segments.hpp"

#include <algorithm>

#include "base/planted.hpp"

namespace square::pool {
namespace {

std::uint32_t rotation(SegmentId segment, std::uint32_t stripe_block, std::size_t strips) {
  const auto mixed = (segment.value * 0x85EBCA6Bu + stripe_block) * 0x9E3779B1u;
  return (mixed >> 16) % static_cast<std::uint32_t>(strips);
}

Error misfit(const char* what, SegmentId segment) {
  return {Code::kCorrupt,
          std::string(what) + " of segment " + std::to_string(segment.value) + " fits no disk"};
}

}  // namespace

std::vector<Slot> rotated(const std::vector<Slot>& base, SegmentId segment,
                          std::uint32_t stripe_block) {
  auto slots = base;
  std::ranges::rotate(slots, slots.begin() + rotation(segment, stripe_block, slots.size()));
  return slots;
}

std::vector<Slot> unrotated(const std::vector<Slot>& slots, SegmentId segment,
                            std::uint32_t stripe_block) {
  auto base = slots;
  std::ranges::rotate(base, base.end() - rotation(segment, stripe_block, base.size()));
  return base;
}

std::uint32_t summary_blocks(std::size_t summary_bytes, std::uint8_t k) {
  const auto stripe_bytes = std::size_t{k} * kBlockBytes;
  return static_cast<std::uint32_t>((summary_bytes + stripe_bytes - 1) / stripe_bytes);
}

SegmentTable::SegmentTable(const Geometry& geometry)
    : geometry_(geometry),
      chunk_blocks_(geometry.chunk_bytes / kBlockBytes),
      segments_(geometry.chunks) {
  reset();
}

void SegmentTable::set_state(SegmentId id, State state) {
  auto& segment = use(id);
  --counts_[static_cast<std::size_t>(segment.state)];
  ++counts_[static_cast<std::size_t>(state)];
  segment.state = state;
  if (state == State::kReleased)
    released_.insert(id);
  else
    released_.erase(id);
  const bool unindexed =
      state == State::kClosed && !segment.indexed && segment.kind != StripeClass::kIndex;
  if (unindexed)
    unindexed_.insert(id);
  else
    unindexed_.erase(id);
}

// Readers it has only when a planted bug took a live one.
SegmentTable::Segment& SegmentTable::begin_use(SegmentId id, StripeClass kind, State state) {
  set_state(id, State::kFree);
  auto& segment = use(id);
  const auto readers = segment.readers;
  segment = {};
  segment.readers = readers;
  segment.kind = kind;
  set_state(id, state);
  return segment;
}

void SegmentTable::note_indexed(SegmentId id) {
  use(id).indexed = true;
  unindexed_.erase(id);
}

Result<> SegmentTable::check_fits(const format::StripeDescriptor& stripe) const {
  const auto strips = static_cast<std::size_t>(stripe.k) + stripe.m;
  const auto slots_max = static_cast<std::size_t>(geometry_.k) + geometry_.m;
  const bool fits = stripe.segment.value < segments_.size() && stripe.slots.size() == strips &&
                    stripe.checksums.size() == strips && strips <= slots_max && stripe.k > 0 &&
                    stripe.strip_blocks > 0 &&
                    std::uint64_t{stripe.stripe_block} + stripe.strip_blocks <= chunk_blocks_ &&
                    std::ranges::all_of(stripe.slots, [&](Slot s) { return s.value < slots_max; });
  if (!fits) return misfit("a stripe", stripe.segment);
  return {};
}

void SegmentTable::reset() {
  segments_.assign(segments_.size(), Segment());
  counts_.fill(0);
  counts_[static_cast<std::size_t>(State::kFree)] = size();
  released_.clear();
  unindexed_.clear();
  open_.fill(std::nullopt);
}

Result<> SegmentTable::note_used(const format::SegmentEntry& entry) {
  const auto slots_max = static_cast<std::size_t>(geometry_.k) + geometry_.m;
  if (entry.segment.value >= segments_.size() || entry.slots.size() > slots_max)
    return misfit("the entry", entry.segment);
  const auto& known = at(entry.segment);
  if (known.state != State::kFree && known.generation >= entry.generation) return {};
  auto& segment = begin_use(entry.segment, static_cast<StripeClass>(entry.kind), State::kClosed);
  segment.generation = entry.generation;
  segment.summarized = entry.summarized;
  segment.k = entry.k;
  segment.m = entry.m;
  segment.slots = entry.slots;
  return {};
}

Result<> SegmentTable::adopt(const format::StripeDescriptor& stripe, StripeClass kind) {
  SQ_TRY(check_fits(stripe));
  auto& segment = use(stripe.segment);
  if (segment.state != State::kFree && stripe.generation < segment.generation) return {};
  if (segment.state == State::kFree || segment.generation != stripe.generation) {
    begin_use(stripe.segment, kind, State::kClosed);
    segment.generation = stripe.generation;
    segment.k = stripe.k;
    segment.m = stripe.m;
    segment.slots = unrotated(stripe.slots, stripe.segment, stripe.stripe_block);
  }
  segment.adopted = true;
  return {};
}

void SegmentTable::serve(std::uint32_t epoch) {
  for (const auto& segment : segments_)
    SQ_CHECK(segment.state == State::kFree || segment.generation.epoch < epoch,
             "the pool serves in an epoch that has been");
  last_generation_ = {epoch, 0};
  for (std::uint32_t i = 0; i < size(); ++i)
    if (segments_[i].state == State::kClosed && !segments_[i].adopted) release(SegmentId(i));
}

std::uint32_t SegmentTable::reserve(StripeClass kind) const {
  const auto index = std::max(3u, size() / 64);
  const auto cleaned = index + std::max(3u, size() / 32);
  if (kind == StripeClass::kIndex) return 0;
  return kind == StripeClass::kCleaned ? index : cleaned;
}

std::uint32_t SegmentTable::free_for(StripeClass kind) const {
  const auto free = count(State::kFree);
  return free > reserve(kind) ? free - reserve(kind) : 0;
}

std::optional<SegmentId> SegmentTable::pick_free() {
  const auto wanted = SQ_PLANTED("reuse_live_segment") ? State::kClosed : State::kFree;
  for (std::uint32_t i = 0; i < size(); ++i) {
    const auto at = (cursor_ + i) % size();
    if (segments_[at].state != wanted) continue;
    cursor_ = at + 1;
    return SegmentId(at);
  }
  if (wanted == State::kFree) return std::nullopt;
  const auto free = std::ranges::find(segments_, State::kFree, &Segment::state);
  if (free == segments_.end()) return std::nullopt;
  return SegmentId(static_cast<std::uint32_t>(free - segments_.begin()));
}

Result<SegmentId> SegmentTable::open_segment(StripeClass kind,
                                             const std::vector<Slot>& live_slots) {
  if (live_slots.empty()) return Error{Code::kUnavailable, "no live member"};
  if (free_for(kind) == 0)
    return Error{Code::kNoSpace, "the pool is full: " + std::to_string(count(State::kFree)) +
                                     " free segments, all kept back for other uses"};
  const auto id = pick_free();
  SQ_CHECK(id.has_value());
  auto& segment = begin_use(*id, kind, State::kOpen);
  ++last_generation_.counter;
  SQ_CHECK(last_generation_.counter != 0, "generations of this epoch are used up");
  segment.generation = last_generation_;
  // Members missing: fewer data strips, the same parity, so that as many disks more may go. Where
  // even that cannot be had, one data strip and a copy on each other disk.
  const auto live = std::min<std::size_t>(live_slots.size(), geometry_.k + geometry_.m);
  const auto k = live > geometry_.m ? live - geometry_.m : 1;
  segment.k = static_cast<std::uint8_t>(k);
  segment.m = static_cast<std::uint8_t>(live - k);
  segment.slots = live_slots;
  return *id;
}

// For one more stripe with that many items. Checkpoint files have no summary.
std::uint32_t SegmentTable::blocks_left(const Segment& segment, std::size_t items) const {
  const auto left = chunk_blocks_ - segment.next_block;
  if (segment.kind == StripeClass::kIndex) return left;
  const auto strips = static_cast<std::size_t>(segment.k) + segment.m;
  const auto bytes = segment.summary_bytes + format::summary_stripe_bytes(strips, items);
  const auto kept = summary_blocks(bytes, segment.k) + 1;  // and the footer
  return left > kept ? left - kept : 0;
}

std::uint64_t SegmentTable::left_bytes(StripeClass kind) const {
  const auto& open = open_[static_cast<std::size_t>(kind)];
  if (!open) return 0;
  const auto& segment = at(*open);
  const auto items_max = std::size_t{chunk_blocks_ - segment.next_block} * segment.k;
  return std::uint64_t{blocks_left(segment, items_max)} * segment.k * kBlockBytes;
}

std::optional<SegmentTable::Range> SegmentTable::append(SegmentId id,
                                                        std::span<const std::uint32_t> item_bytes) {
  auto& segment = use(id);
  auto packing = pack(item_bytes, segment.k, blocks_left(segment, item_bytes.size()));
  if (!packing) return std::nullopt;
  Range range;
  range.segment = id;
  range.generation = segment.generation;
  range.stripe_block = segment.next_block;
  range.k = segment.k;
  range.m = segment.m;
  range.slots = rotated(segment.slots, id, segment.next_block);
  segment.next_block += packing->strip_blocks;
  segment.summary_bytes += format::summary_stripe_bytes(range.slots.size(), item_bytes.size());
  range.packing = std::move(*packing);
  return range;
}

Result<SegmentTable::Range> SegmentTable::allocate(StripeClass kind,
                                                   const std::vector<Slot>& live_slots,
                                                   std::span<const std::uint32_t> item_bytes) {
  auto& open = open_[static_cast<std::size_t>(kind)];
  // A member of it is gone, or more parity can be had now: nothing is appended any more.
  if (open && (!std::ranges::all_of(at(*open).slots, [&](Slot slot) {
        return std::ranges::find(live_slots, slot) != live_slots.end();
      }) || (at(*open).m < geometry_.m && live_slots.size() > at(*open).slots.size())))
    close(*open);
  for (bool fresh = false;; fresh = true) {
    if (!open) {
      SQ_TRY(open, open_segment(kind, live_slots));
      fresh = true;
    }
    if (auto range = append(*open, item_bytes)) {
      if (blocks_left(at(*open), 1) == 0) close(*open);
      return std::move(*range);
    }
    if (fresh) return Error{Code::kInvalid, "the items exceed a segment"};
    close(*open);
  }
}

void SegmentTable::close(SegmentId id) {
  for (auto& open : open_)
    if (open == id) open.reset();
  if (at(id).state != State::kOpen) return;
  set_state(id, State::kClosed);
  if (on_closed && at(id).kind != StripeClass::kIndex) on_closed(id);
}

void SegmentTable::close_open_segments_with(Slot slot) {
  for (const auto open : open_)
    if (open && std::ranges::find(at(*open).slots, slot) != at(*open).slots.end()) close(*open);
}

std::vector<SegmentId> SegmentTable::thin_segments(std::uint8_t m) const {
  std::vector<SegmentId> found;
  for (SegmentId id; id.value < size(); id = id.next()) {
    const auto& segment = at(id);
    const bool used = segment.state == State::kOpen || segment.state == State::kClosed;
    if (used && segment.m < m && segment.kind != StripeClass::kIndex) found.push_back(id);
  }
  return found;
}

void SegmentTable::release(SegmentId id) {
  auto& segment = use(id);
  if (segment.state == State::kReleased || segment.state == State::kDiscarding) return;
  SQ_CHECK(segment.state != State::kFree, "a free segment was released");
  close(id);
  set_state(id, State::kReleased);
  segment.released_at = checkpoints_begun_;
  if (SQ_PLANTED("reuse_before_checkpoint")) release_at_once(id);
}

void SegmentTable::release_at_once(SegmentId id) {
  auto& segment = use(id);
  if (segment.state == State::kFree || segment.state == State::kDiscarding) return;
  close(id);
  set_state(id, State::kReleased);
  segment.passed = true;
  discard_if_unread(id);
}

void SegmentTable::checkpoint_done(std::uint64_t number) {
  const std::vector released(released_.begin(), released_.end());
  for (const auto id : released) {
    if (at(id).released_at >= number) continue;
    use(id).passed = true;
    discard_if_unread(id);
  }
}

std::uint32_t SegmentTable::released_waiting() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(released_, [this](SegmentId id) { return !at(id).passed; }));
}

void SegmentTable::discard_if_unread(SegmentId id) {
  auto& segment = use(id);
  if (segment.state != State::kReleased || !segment.passed || segment.readers != 0) return;
  set_state(id, State::kDiscarding);
  if (on_discard) on_discard(id);
}

void SegmentTable::discarded(SegmentId id) {
  SQ_CHECK(at(id).state == State::kDiscarding);
  set_state(id, State::kFree);
}

SegmentTable::Reader::Reader(std::shared_ptr<SegmentTable> table, SegmentId id)
    : table_(std::move(table)), id_(id) {
  ++table_->use(id_).readers;
}

SegmentTable::Reader::~Reader() {
  if (!table_) return;
  --table_->use(id_).readers;
  table_->discard_if_unread(id_);
}

std::vector<SegmentId> SegmentTable::closed_data_segments() const {
  std::vector<SegmentId> ids;
  for (std::uint32_t i = 0; i < size(); ++i)
    if (segments_[i].state == State::kClosed && segments_[i].kind != StripeClass::kIndex)
      ids.emplace_back(i);
  return ids;
}

std::vector<format::SegmentEntry> SegmentTable::entries(std::uint64_t number) const {
  std::vector<format::SegmentEntry> list;
  for (std::uint32_t i = 0; i < size(); ++i) {
    const auto& segment = segments_[i];
    if (segment.state == State::kFree || segment.state == State::kDiscarding) continue;
    if (segment.state == State::kReleased && segment.released_at < number) continue;
    if (segment.kind == StripeClass::kIndex) continue;
    format::SegmentEntry entry;
    entry.segment = SegmentId(i);
    entry.generation = segment.generation;
    entry.kind = static_cast<std::uint8_t>(segment.kind);
    entry.summarized = segment.summarized;
    entry.k = segment.k;
    entry.m = segment.m;
    entry.slots = segment.slots;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace square::pool
