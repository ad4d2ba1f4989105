#pragma once
// One journal lane: an endless log of records, the last lap of it kept on m + 1 disks at a time.
//
//   position   0 ......... tail ............... durable ...... next
//              forgotten   | live: m+1 copies   | in flight    |
//   ring       position p lies at journal offset p % ring_bytes of each of its copy disks
//
// Records are gathered into batches (group commit). A batch is one write to each of m + 1 disks and
// one flush of each; several batches are in flight at once. Batches are chained by hash, and name
// their position, the epoch, the position up to which everything was durable when they were made,
// and the tail. Every member disk reserves the whole ring, so a copy can lie on any of them; the
// m + 1 disks of a zone (1 MiB of positions) rotate with zone and lap.
//
// Durable means: this record and every record before it in the lane are flushed on m + 1 disks (or
// all that live, at least one, when fewer do). A slot of the ring is written over only when a
// *flushed* batch or checkpoint names a tail above it. docs/protocol.md, section 2.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/activity.hpp"
#include "env/env.hpp"
#include "env/sync.hpp"
#include "format/types.hpp"

namespace square::journal {

// The journal areas of the pool's members, as the lane sees them. Errors of a disk are handled by
// whoever implements this (the disk is failed and announced by Lane::slot_lost) before they return.
class JournalDisks {
 public:
  virtual ~JournalDisks() = default;
  // Members that can take writes now, ascending.
  virtual std::vector<Slot> live_slots() const = 0;
  virtual Async<> write(Slot slot, std::uint64_t journal_offset, BufferChain chain) = 0;
  virtual Async<> read(Slot slot, std::uint64_t journal_offset, Buffer into) = 0;
  virtual Async<> flush(Slot slot) = 0;
};

struct LaneConfig {
  PoolId pool;  // in every batch header: a foreign disk's journal is never taken
  std::uint16_t lane = 0;
  std::uint64_t ring_offset = 0;             // of this lane inside the journal area
  std::uint64_t ring_bytes = 0;              // multiple of 1 MiB
  std::uint8_t copies = 3;                   // m + 1
  std::uint32_t batch_bytes_max = 2u << 20;  // also bounds one record, less 4 KiB
  std::uint32_t batches_in_flight_max = 4;
  ActivitiesPtr activities{};  // counts the batches in flight
};

// What is kept back of the ring: an ordinary append waits (never fails) once only the reserves of
// the others are left, so that placements, tails and term marks always fit.
// kPromised is what Lane::append() uses for a record that has its room already.
enum class Reserve : std::uint8_t { kOrdinary, kPlacement, kTail, kTermMark, kPromised };

struct DurableRecord {
  LanePosition position;  // of its batch
  LanePosition end;       // of its batch: once the tail is at or above it, the record is forgotten
  std::uint32_t index = 0;  // within the batch
  Epoch epoch;              // of its batch
  Buffer bytes;
};

using format::LanePoint;

struct RecoveredLane {
  std::vector<DurableRecord> records;  // from the tail, on the chain that reaches the highest epoch
  LanePoint tail;                      // where the log begins
  LanePoint end;                       // where it goes on
  std::vector<LanePoint> points;       // {start, chain before it} of each live batch, and `end`
  Epoch highest_epoch;                 // in any valid batch header, on the chain or not
};

class Lane {
 public:
  Lane(env::Env env, JournalDisks& disks, LaneConfig config);
  ~Lane();

  // Reads every copy of the ring and finds the log from `tail` on, where `tail` comes from the
  // newest checkpoint. Call once, before anything else; nothing is written.
  // Errors: kDataLoss when a batch below a position that some header calls durable has no valid
  // copy (the message names the positions); kIo when no disk can be read; kUnsupported when a batch
  // was written in a newer format.
  Async<RecoveredLane> recover(LanePoint tail);

  // Writes every live batch again to disks that lack it until it has m + 1 copies, never over a
  // good copy, and flushes every live disk: also a copy that was only read back may sit in a
  // volatile cache. After recover(), before start(). Errors: kIo; kConflict when the last copy of a
  // batch went bad after recover() had read it. A durable batch has others, so recovery begins
  // anew, with another lane.
  Async<> restore_copies();

  // From now on appends are taken, in `epoch`, and go on at the recovered end. `on_durable` is
  // called from the loop for each record in lane order, before the append of that record returns;
  // it must not suspend. `epoch` has a higher number than every epoch found by recover() (aborts
  // otherwise: recovery tells an abandoned branch from the log by that), and restore_copies() has
  // succeeded.
  void start(Epoch epoch, std::function<void(const DurableRecord&)> on_durable);

  // Returns when the record is durable. It is taken at the call, not when the result is awaited,
  // and records become durable in the order of the calls; only what waits for room is overtaken by
  // appends with a deeper reserve. It returns the position of its batch.
  // Errors: kUnavailable after stop() or halt: the outcome is unknown until the next recovery;
  // kInvalid when it is larger than record_bytes_max().
  Async<LanePosition> append(BufferChain record, Reserve reserve = Reserve::kOrdinary);

  // Room for one record that comes later, kept from everybody else until then. Dies before the
  // Lane.
  class Room {
   public:
    Room() = default;
    Room(Room&& other) noexcept
        : lane_(std::exchange(other.lane_, nullptr)), bytes_(other.bytes_) {}
    Room& operator=(Room&&) = delete;
    ~Room();

   private:
    friend class Lane;
    Room(Lane& lane, std::uint64_t bytes) : lane_(&lane), bytes_(bytes) {}
    Lane* lane_ = nullptr;
    std::uint64_t bytes_ = 0;  // of the ring
  };
  // Waits for room for a record of up to `record_bytes` as an ordinary append of that size would,
  // among them in the order of the calls. Who must not come behind records that wait for him takes
  // his room before they take theirs. Errors: as append().
  Async<Room> reserve(std::uint64_t record_bytes);
  // For two records, at one moment.
  Async<std::pair<Room, Room>> reserve(std::uint64_t first_bytes, std::uint64_t second_bytes);
  // As append(), and never waits for room. The record is not larger than was reserved.
  Async<LanePosition> append(BufferChain record, Room room);
  // Somebody waits for room: a tail that moves would help.
  bool waits_for_room() const;

  // Nothing below `tail` is needed any more (its effect is in a flushed checkpoint, or a later
  // durable record stands for it). Takes effect for reuse once a later batch that names it is
  // flushed; appends a batch without records itself when appends are waiting for room. A position
  // inside a batch means its start, one above durable() means durable(), and it never goes back.
  void set_tail(LanePosition tail);
  // A flushed checkpoint names this tail: slots below may be reused at once.
  void tail_is_in_checkpoint(LanePosition tail);

  // A member's journal area is gone. Its live batches get a new copy; copies_whole() is false until
  // they have it. In-flight batches go to another disk before they count as durable.
  void slot_lost(Slot slot);
  bool copies_whole() const;
  // Waits for copies_whole(), or for the end of this lane (halt, stop). Rebuild of anything else
  // starts after it.
  Task<void> wait_copies_whole();
  // A member takes writes again, with another disk or an empty journal area: batches that have
  // fewer than m + 1 copies because too few members lived get one on it.
  void slot_joined(Slot slot);

  LanePosition tail() const;
  // The tail as a checkpoint stores it for the next recover().
  LanePoint tail_point() const;
  LanePosition durable() const;
  LanePosition next() const;
  LanePoint durable_point() const;
  // The start of the live batch that `position` lies in, with the chain before it: what a
  // checkpoint names as its tail. `position` is between tail() and durable().
  LanePoint point_at(LanePosition position) const;
  std::uint64_t used_bytes() const;  // next - the tail that is known to be flushed
  std::uint64_t ring_bytes() const;
  std::uint32_t record_bytes_max() const;  // a quarter of the ring, or batch_bytes_max, less 4 KiB
  // True once no disk takes writes: nothing is acknowledged any more until the process restarts.
  bool halted() const;

  struct Stats {
    std::uint64_t batches = 0, records = 0, record_bytes = 0, written_bytes = 0, recopied_bytes = 0;
  };
  const Stats& stats() const;

  // Refuses new appends, waits for those in flight and for all own tasks.
  Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::journal
