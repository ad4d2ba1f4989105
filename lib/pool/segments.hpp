#pragma once
// The segment table: which segments are free, and where the next stripe goes. Pure.
//
//   free --allocate--> open --full, or a member lost--> closed --release--> released
//     ^                                                                        |
//     +---- discarded() <---- discarding <---- a checkpoint that began later, and no readers
//
// A segment's use is named by its generation {epoch, counter}: a use that a crash has lost is never
// repeated. docs/protocol.md, section 3.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "format/checkpoint.hpp"
#include "format/summary.hpp"
#include "pool/packing.hpp"
#include "pool/pool.hpp"

namespace square::pool {

// Where strip i of the stripe at `stripe_block` lies: slots[i], rotated from the segment's own
// order.
std::vector<Slot> rotated(const std::vector<Slot>& base, SegmentId segment,
                          std::uint32_t stripe_block);
// The inverse.
std::vector<Slot> unrotated(const std::vector<Slot>& slots, SegmentId segment,
                            std::uint32_t stripe_block);

// Blocks of each strip of a summary of that size.
std::uint32_t summary_blocks(std::size_t summary_bytes, std::uint8_t k);

// A data segment keeps room for its summary, however many extents are appended to it.
class SegmentTable {
 public:
  enum class State : std::uint8_t { kFree, kOpen, kClosed, kReleased, kDiscarding };
  static constexpr std::size_t kStates = 5;
  struct Segment {
    State state = State::kFree;
    StripeClass kind = StripeClass::kFresh;
    format::Generation generation;
    std::uint8_t k = 0, m = 0;
    std::vector<Slot> slots;  // before rotation
    std::uint32_t next_block = 0;
    std::size_t summary_bytes = format::kSummaryBytesMin;  // at most, of what was appended
    std::uint32_t readers = 0;
    std::uint64_t released_at = 0;  // checkpoints begun before its release
    bool adopted = false;
    bool indexed = false;  // the index took a stripe of this use
    bool summarized = false;
    bool passed = false;  // its checkpoint is done; only readers hold it
  };
  struct Range {
    SegmentId segment;
    format::Generation generation;
    std::uint32_t stripe_block = 0;
    std::uint8_t k = 0, m = 0;
    std::vector<Slot> slots;  // rotated
    Packing packing;
  };

  explicit SegmentTable(const Geometry& geometry);

  const Segment& at(SegmentId id) const { return segments_[id.value]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(segments_.size()); }
  bool in_use(SegmentId id) const { return at(id).state != State::kFree; }
  std::uint32_t count(State state) const { return counts_[static_cast<std::size_t>(state)]; }

  // ---- at start
  // As if nothing had been noted or adopted.
  void reset();
  // As the loaded checkpoint's manifest has it. Errors: kCorrupt when it fits no disk of the pool.
  Result<> note_used(const format::SegmentEntry& entry);
  // A stripe that something names. An older generation than the known one is forgotten history.
  // Errors: kCorrupt when it fits no disk of the pool.
  Result<> adopt(const format::StripeDescriptor& stripe, StripeClass kind);
  // What was noted and not adopted is released; all others are closed. Generations of `epoch`.
  void serve(std::uint32_t epoch);

  // ---- allocation
  // Room for one stripe in the open segment of that class; opens another where needed.
  // Errors: kNoSpace, kInvalid (more than an empty segment holds), kUnavailable (no live slot).
  Result<Range> allocate(StripeClass kind, const std::vector<Slot>& live_slots,
                         std::span<const std::uint32_t> item_bytes);
  // Data bytes that one more stripe could still put into the open segment of that class.
  std::uint64_t left_bytes(StripeClass kind) const;
  void close(SegmentId id);
  // Told of each data segment to which nothing will be appended any more.
  std::function<void(SegmentId)> on_closed;
  void set_summarized(SegmentId id, bool summarized) { use(id).summarized = summarized; }
  // Data bytes in each chunk, with the smallest summary.
  std::uint32_t data_bytes_max() const { return (chunk_blocks_ - 2) * kBlockBytes; }
  // Its disk is gone: what another one has in that slot later belongs to later segments.
  void close_open_segments_with(Slot slot);
  // In use for data, with less parity than that.
  std::vector<SegmentId> thin_segments(std::uint8_t m) const;
  // Segments that `kind` may not take.
  std::uint32_t reserve(StripeClass kind) const;
  std::uint32_t free_for(StripeClass kind) const;

  // ---- freeing
  // The index has a stripe of the segment's present use: it will say when the last one is dead.
  void note_indexed(SegmentId id);
  // Closed data segments of which the index has no stripe: nobody else would free them.
  const std::set<SegmentId>& unindexed_segments() const { return unindexed_; }
  void release(SegmentId id);
  // Free without waiting for another checkpoint: nothing that recovery could find names it.
  void release_at_once(SegmentId id);
  std::uint64_t checkpoint_begins() { return ++checkpoints_begun_; }
  // What was released before that checkpoint began may go.
  void checkpoint_done(std::uint64_t number);
  // Told of each segment to discard; answer with discarded().
  std::function<void(SegmentId)> on_discard;
  void discarded(SegmentId id);
  // Released, and waiting for a checkpoint.
  std::uint32_t released_waiting() const;

  // While one lives, the segment stays as it is.
  class Reader {
   public:
    Reader(std::shared_ptr<SegmentTable> table, SegmentId id);
    Reader(Reader&&) noexcept = default;
    Reader& operator=(Reader&&) = delete;
    ~Reader();

   private:
    std::shared_ptr<SegmentTable> table_;
    SegmentId id_;
  };

  std::vector<SegmentId> closed_data_segments() const;
  // What is in use once checkpoint `number` is done. Not those of checkpoint files: their stripes
  // name them.
  std::vector<format::SegmentEntry> entries(std::uint64_t number) const;
  Result<> check_fits(const format::StripeDescriptor& stripe) const;

 private:
  Segment& use(SegmentId id) { return segments_[id.value]; }
  void set_state(SegmentId id, State state);
  Segment& begin_use(SegmentId id, StripeClass kind, State state);
  std::optional<SegmentId> pick_free();
  Result<SegmentId> open_segment(StripeClass kind, const std::vector<Slot>& live_slots);
  std::uint32_t blocks_left(const Segment& segment, std::size_t items) const;
  std::optional<Range> append(SegmentId id, std::span<const std::uint32_t> item_bytes);
  void discard_if_unread(SegmentId id);

  Geometry geometry_;
  std::uint32_t chunk_blocks_;
  std::vector<Segment> segments_;
  std::array<std::uint32_t, kStates> counts_{};  // of segments in each state
  std::set<SegmentId> released_, unindexed_;     // so that nobody has to look through all of them
  std::array<std::optional<SegmentId>, 3> open_;
  std::uint32_t cursor_ = 0;
  std::uint64_t checkpoints_begun_ = 0;
  format::Generation last_generation_;
};

}  // namespace square::pool
