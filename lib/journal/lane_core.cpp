#include "journal/lane_core.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"

namespace square::journal {
namespace {

constexpr std::uint64_t kZoneBytes = 1u << 20;
constexpr std::uint64_t kReserveBytesMin = 8u << 10;

std::uint64_t blocks_of(std::uint64_t bytes) { return bytes / kBlockBytes * kBlockBytes; }

}  // namespace

bool LiveBatch::has(Slot slot) const {
  return std::find(good.begin(), good.end(), slot) != good.end();
}

LaneCore::LaneCore(LaneConfig config) : config_(config) {
  SQ_CHECK(config.ring_bytes % kBlockBytes == 0 && config.ring_bytes >= (64u << 10));
  SQ_CHECK(config.copies > 0 && config.batches_in_flight_max > 0);
  const auto quarter = blocks_of(config.ring_bytes / 4);
  batch_bytes_max_ = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(blocks_of(config.batch_bytes_max), quarter));
  SQ_CHECK(batch_bytes_max_ >= 2 * kBlockBytes);
}

std::uint64_t LaneCore::used_bytes() const {
  const auto from = held_ ? std::min(*held_, reusable_) : reusable_;
  return next_.position.value - from.value;
}

std::uint64_t LaneCore::kept_back(Reserve reserve) const {
  const auto ring = config_.ring_bytes;
  std::uint64_t bytes = 0;
  if (reserve <= Reserve::kTail) bytes += std::max(blocks_of(ring / 32), kReserveBytesMin);
  if (reserve <= Reserve::kPlacement) bytes += std::max(blocks_of(ring / 64), kReserveBytesMin);
  if (reserve <= Reserve::kOrdinary) bytes += blocks_of(ring / 4);
  return bytes;
}

bool LaneCore::fits(std::uint64_t bytes, Reserve reserve) const {
  return used_bytes() + promised_bytes_ + promised_bytes_max_ + bytes + kept_back(reserve) <=
         config_.ring_bytes;
}

std::uint64_t LaneCore::alone_bytes(std::uint64_t record_bytes) {
  return align_up(format::kJournalHeaderBytes + format::journal_record_bytes(record_bytes),
                  kBlockBytes);
}

bool LaneCore::can_promise(std::uint64_t bytes, std::uint64_t planned_bytes) const {
  const auto filler_more = std::max(bytes, promised_bytes_max_) - promised_bytes_max_;
  return fits(planned_bytes + bytes + filler_more, Reserve::kOrdinary);
}

void LaneCore::promise(std::uint64_t bytes) {
  promised_bytes_ += bytes;
  promised_bytes_max_ = std::max(promised_bytes_max_, bytes);
}

void LaneCore::redeem(std::uint64_t bytes) {
  SQ_CHECK(bytes <= promised_bytes_, "room of the journal was given back twice");
  promised_bytes_ -= bytes;
  if (promised_bytes_ == 0) promised_bytes_max_ = 0;
}

std::uint64_t LaneCore::bytes_to_ring_end() const {
  return config_.ring_bytes - next_.position.value % config_.ring_bytes;
}

format::JournalHeader LaneCore::next_header(Epoch epoch) const {
  format::JournalHeader header;
  header.pool = config_.pool;
  header.lane = config_.lane;
  header.position = next_.position;
  header.previous = next_.chain;
  header.epoch = epoch;
  header.durable = durable_.position;
  header.tail = tail_;
  return header;
}

void LaneCore::add(const format::JournalHeader& header) {
  SQ_CHECK(header.before() == next_, "a batch that does not continue the lane");
  SQ_CHECK(header.length <= bytes_to_ring_end(), "a batch over the ring's end");
  SQ_CHECK(used_bytes() + header.length <= config_.ring_bytes, "a batch over a live one");
  live_.push_back({header, {}});
  next_ = header.after();
  told_ = std::max(told_, header.tail.position);
}

LiveBatch* LaneCore::find(LanePosition position) {
  const auto at = std::lower_bound(
      live_.begin(), live_.end(), position,
      [](const LiveBatch& batch, LanePosition wanted) { return batch.header.position < wanted; });
  return at != live_.end() && at->header.position == position ? &*at : nullptr;
}

std::vector<Slot> LaneCore::slots_to_write(const LiveBatch& batch,
                                           const std::vector<Slot>& live) const {
  if (live.empty()) return {};
  auto wanted = std::min<std::size_t>(config_.copies, live.size());
  if (SQ_PLANTED("skip_third_copy")) wanted = std::min<std::size_t>(wanted, config_.copies - 1u);
  auto have = static_cast<std::size_t>(
      std::count_if(live.begin(), live.end(), [&](Slot slot) { return batch.has(slot); }));
  const auto position = batch.header.position.value;
  const auto first = position / config_.ring_bytes + position / kZoneBytes;
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < live.size() && have < wanted; ++i) {
    const auto slot = live[(first + i) % live.size()];
    if (batch.has(slot)) continue;
    slots.push_back(slot);
    ++have;
  }
  return slots;
}

void LaneCore::add_copy(LanePosition position, Slot slot) {
  auto* batch = find(position);
  if (batch != nullptr && !batch->has(slot)) batch->good.push_back(slot);
}

void LaneCore::drop_copy(LanePosition position, Slot slot) {
  if (auto* batch = find(position)) std::erase(batch->good, slot);
}

void LaneCore::advance() {
  const auto* batch = find(durable_.position);
  SQ_CHECK(batch != nullptr);
  durable_ = batch->header.after();
  reusable_ = std::max(reusable_, batch->header.tail.position);
  forget();
}

format::LanePoint LaneCore::point_at_or_below(LanePosition position) const {
  const auto at = std::partition_point(live_.begin(), live_.end(), [&](const LiveBatch& batch) {
    return batch.header.end() <= position;
  });
  return at == live_.end() ? next_ : at->header.before();
}

void LaneCore::set_tail(LanePosition tail) {
  tail = std::min(tail, durable_.position);
  if (tail <= tail_.position) return;
  const auto point = point_at_or_below(tail);
  if (point.position > tail_.position) tail_ = point;
  if (SQ_PLANTED("reuse_before_tail_flushed")) reusable_ = tail_.position;
}

void LaneCore::tail_is_in_checkpoint(LanePosition tail) {
  set_tail(tail);
  // Only what stands at a batch's start can be named, and nothing above the durable position.
  reusable_ = std::max(reusable_, std::min(tail, tail_.position));
  told_ = std::max(told_, reusable_);
  forget();
}

void LaneCore::lose(Slot slot) {
  for (auto& batch : live_) std::erase(batch.good, slot);
}

std::vector<LanePosition> LaneCore::lacking(const std::vector<Slot>& live,
                                            std::uint64_t bytes_max) const {
  std::vector<LanePosition> positions;
  std::uint64_t bytes = 0;
  for (const auto& batch : live_) {
    if (batch.header.position >= durable_.position || (bytes >= bytes_max && bytes > 0)) break;
    if (slots_to_write(batch, live).empty()) continue;
    positions.push_back(batch.header.position);
    bytes += batch.header.written_bytes();
  }
  return positions;
}

void LaneCore::recovered(format::LanePoint tail, LanePosition checkpoint_tail,
                         std::vector<LiveBatch> batches) {
  if (checkpoint_tail < tail.position) SQ_PROBE("journal tail newer than the checkpoint's");
  SQ_CHECK(live_.empty() && next_.position.value == 0, "a lane is recovered once");
  tail_ = durable_ = next_ = tail;
  reusable_ = told_ = checkpoint_tail;
  for (auto& batch : batches) {
    SQ_CHECK(batch.header.before() == next_);
    next_ = durable_ = batch.header.after();
    live_.push_back(std::move(batch));
  }
}

void LaneCore::restored() {
  for (const auto& batch : live_) told_ = std::max(told_, batch.header.tail.position);
  reusable_ = std::max(reusable_, told_);
  forget();
}

void LaneCore::forget() {
  while (!live_.empty() && live_.front().header.end() <= reusable_) live_.pop_front();
}

}  // namespace square::journal
