#pragma once
// What a journal lane decides, without I/O: where the next batch lies, whether it has room, which
// disks take it, what counts as durable, what may be written over. The driver is lane.cpp.
//
// Room. A slot of the ring may be reused once a flushed batch or checkpoint names a tail above it
// (`reusable`), and no copy of an old batch is being made there (`hold`). Kept back of the ring:
//
//   who appends   leaves free at least
//   kTermMark     nothing
//   kTail         term marks:  1/32 of the ring, at least 8 KiB
//   kPlacement    and tails:   1/64 of the ring, at least 8 KiB
//   kOrdinary     and placements: 1/4 of the ring
//
// Room may be promised to a record that comes later (`promise`). Nobody else gets it, nor what the
// largest of these records may need in front of it for a filler: the ring's end can come before any
// of them, but only once until as many bytes as the ring has were appended, all by others, who
// leave both alone. So what has a promise never waits.
//
// A term mark takes 4 KiB: a ring of 64 MiB stands 512 restarts that come no further than that.
// A tail batch takes 4 KiB and frees at least that much. A batch takes at most a quarter of the
// ring, so one always fits when everything before it is forgotten, with a filler before it.

#include <deque>
#include <optional>
#include <vector>

#include "format/journal_batch.hpp"
#include "journal/lane.hpp"

namespace square::journal {

// A batch that recovery may still need.
struct LiveBatch {
  format::JournalHeader header;
  std::vector<Slot> good;  // flushed copies
  bool has(Slot slot) const;
};

class LaneCore {
 public:
  explicit LaneCore(LaneConfig config);

  const LaneConfig& config() const { return config_; }
  std::uint32_t batch_bytes_max() const { return batch_bytes_max_; }
  std::uint32_t record_bytes_max() const { return batch_bytes_max_ - kBlockBytes; }
  std::uint64_t journal_offset(LanePosition position) const {
    return config_.ring_offset + position.value % config_.ring_bytes;
  }

  // ---- positions
  LanePosition tail() const { return tail_.position; }
  format::LanePoint tail_point() const { return tail_; }
  LanePosition reusable() const { return reusable_; }  // the tail that is known to be flushed
  LanePosition durable() const { return durable_.position; }
  format::LanePoint durable_point() const { return durable_; }
  LanePosition next() const { return next_.position; }
  std::uint64_t used_bytes() const;
  // True when a newer tail than any batch names waits to be told.
  bool tail_untold() const { return tail_.position > told_; }

  // ---- room
  std::uint64_t kept_back(Reserve reserve) const;
  bool fits(std::uint64_t bytes, Reserve reserve) const;
  std::uint64_t bytes_to_ring_end() const;
  // What a record takes at most when it stands in a batch of its own.
  static std::uint64_t alone_bytes(std::uint64_t record_bytes);
  // Whether `bytes` can be promised once `planned_bytes` more are appended.
  bool can_promise(std::uint64_t bytes, std::uint64_t planned_bytes) const;
  void promise(std::uint64_t bytes);
  void redeem(std::uint64_t bytes);

  // ---- batches
  // The header of the batch that comes next; the encoder fills in the rest.
  format::JournalHeader next_header(Epoch epoch) const;
  void add(const format::JournalHeader& header);
  LiveBatch* find(LanePosition position);
  // The slots that must get a copy for it to have enough, in order of preference; `live` ascending.
  // None when it has: then it is flushed.
  std::vector<Slot> slots_to_write(const LiveBatch& batch, const std::vector<Slot>& live) const;
  void add_copy(LanePosition position, Slot slot);
  void drop_copy(LanePosition position, Slot slot);
  // The batch at durable() is flushed, and so is everything before it.
  void advance();
  void set_tail(LanePosition tail);
  void tail_is_in_checkpoint(LanePosition tail);

  // ---- copies
  void lose(Slot slot);
  // Durable batches with too few copies, from the tail on; about `bytes_max` of them, at least one.
  std::vector<LanePosition> lacking(const std::vector<Slot>& live, std::uint64_t bytes_max) const;
  // Nothing at or above the position is written over until release().
  void hold(LanePosition position) { held_ = position; }
  void release() { held_.reset(); }

  // ---- recovery
  // The live batches in order, with their good copies, from `tail` to where the log goes on.
  void recovered(format::LanePoint tail, LanePosition checkpoint_tail,
                 std::vector<LiveBatch> batches);
  // They are flushed on enough disks: what they say of the tail counts.
  void restored();
  const std::deque<LiveBatch>& live() const { return live_; }
  // The start of the batch that `position` lies in, with the chain before it.
  format::LanePoint point_at_or_below(LanePosition position) const;

 private:
  void forget();

  LaneConfig config_;
  std::uint32_t batch_bytes_max_;
  std::deque<LiveBatch> live_;  // contiguous; from at most reusable() up to next()
  format::LanePoint tail_, durable_, next_;
  LanePosition reusable_;
  LanePosition told_;  // highest tail in any batch made
  std::optional<LanePosition> held_;
  std::uint64_t promised_bytes_ = 0;
  std::uint64_t promised_bytes_max_ = 0;  // the largest since nothing was promised
};

}  // namespace square::journal
