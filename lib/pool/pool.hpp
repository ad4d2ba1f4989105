#pragma once
// The disks of one node as one pool: k data + m parity on k + m members, and spares.
//
//   disk      | label A | label B | journal area | chunk 0 | chunk 1 | ... | label C | label D |
//   segment s = chunk s of its own k + m members; stripes are appended to it, never overwritten
//   stripe    = k data strips + m parity strips, each strip_blocks x 4 KiB, at one offset of the
//               chunks; the roles of the members rotate from stripe to stripe
//
// The pool knows disks, segments and stripes, and the checkpoint files of the index. It does not
// know extents, groups or keys: who reads tells how to verify, and who owns the index tells,
// through StripeCatalog, which stripes live. docs/protocol.md, sections 2 and 3.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/env.hpp"
#include "env/sync.hpp"
#include "format/summary.hpp"
#include "format/types.hpp"
#include "journal/lane.hpp"

namespace square::pool {

struct Geometry {
  std::uint8_t k = 8, m = 2;
  std::uint32_t chunk_bytes = 0;    // multiple of 64 KiB
  std::uint32_t chunks = 0;         // per disk: the number of segments
  std::uint64_t journal_bytes = 0;  // per disk, multiple of 1 MiB
  bool operator==(const Geometry&) const = default;
};

struct FormatOptions {
  CellId cell;
  NodeId node;
  std::vector<std::string> paths;  // the first k + m become members, the others spares
  std::uint8_t k = 8, m = 2;
  std::uint32_t chunk_bytes = 0;    // 0: chosen from the smallest disk
  std::uint64_t journal_bytes = 0;  // 0: chosen from the smallest disk
};

struct OpenOptions {
  CellId cell;
  NodeId node;
  std::vector<std::string> paths;
  env::DiskOptions disk;
  // A member that has been slow for so long is retired by itself when a spare is free; 0: never.
  env::Duration retire_slow_after = std::chrono::minutes(10);
};

enum class DiskState : std::uint8_t { kMember, kSpare, kRebuilding, kFailed, kMissing, kForeign };
std::string_view disk_state_name(DiskState state);  // as in `square disk ls`

struct DiskStatus {
  Slot slot;  // members: 0 .. k+m-1; others follow
  DiskId id;
  std::string path;
  DiskState state = DiskState::kMissing;
  std::string why;     // for failed, missing, foreign; for members that are slow or set aside
  bool slow = false;   // its peers are many times faster, and have been for long
  bool aside = false;  // it gets no new writes for now, because one was late
  std::uint64_t size_bytes = 0;
  std::uint64_t live_bytes = 0;  // of its chunks in use
  std::uint64_t read_errors = 0, write_errors = 0, corruptions = 0;
};

// A pass over the live stripes: rebuilding, or scrubbing.
struct RepairStatus {
  bool active = false;
  std::vector<Slot> slots;                        // being filled, for a rebuild
  std::uint64_t done_bytes = 0, total_bytes = 0;  // of the chunks to go through
  std::uint64_t bytes_per_s = 0;                  // since it began
  std::uint64_t eta_s = 0;
  std::uint64_t pace_bytes_per_s = 0;  // what it is held to now; 0: nothing
  std::uint64_t stripes = 0, strips_written = 0, stripes_lost = 0;
  bool complete = true;      // so far nothing was left out
  SegmentId cursor;          // the next segment
  std::uint64_t number = 0;  // of scrubs: counts those begun since open; tells one from the next
};

// A repair runs freely while clients are idle, and at the floor while they are not: it must end in
// time; a scrub, which nothing waits for, at a quarter of it. The override stands above both. All
// count what one disk reads or writes.
struct RepairPace {
  std::uint64_t floor_bytes_per_s = 64u << 20;
  std::uint64_t override_bytes_per_s = 0;  // 0: none
};

// A member whose place a spare takes while it still works.
struct RetirementStatus {
  RepairStatus pass;  // of the copy; inactive when it has ended, either way
  Slot slot;
  DiskId from, to;
  std::uint64_t blocks_unreadable = 0;  // strips in them were recovered from others
  bool done = false;                    // `to` has the slot
  std::string why;                      // it was given up
};

struct PoolStatus {
  Geometry geometry;
  std::uint16_t members_live = 0, members_missing = 0, spares_free = 0;
  std::uint64_t capacity_bytes = 0;    // data bytes that all segments could hold
  std::uint64_t free_bytes = 0;        // data bytes in free segments
  std::uint64_t free_fresh_bytes = 0;  // of them, those that kFresh may take
  std::uint32_t segments_free = 0, segments_open = 0, segments_closed = 0;
  // Of data written while so many members were away that it has less parity than the pool's: fewer
  // lost disks are enough to lose it. With the members back, cleaning moves it.
  std::uint32_t segments_thin = 0;
  std::uint64_t corruptions_found = 0, corruptions_repaired = 0;
  // Late reads that were raced with a reconstruction, those it won, and those it could not afford.
  std::uint64_t races = 0, races_won = 0, races_refused = 0;
  // Disk bytes written since open, by purpose.
  std::uint64_t written_data_bytes = 0, written_parity_bytes = 0, written_journal_bytes = 0,
                written_checkpoint_bytes = 0, written_label_bytes = 0, written_rebuild_bytes = 0;
  std::uint64_t written_summary_bytes = 0;  // of the data and parity above
  std::uint64_t pool_generation = 0;
  RepairStatus rebuild, scrub;
  RetirementStatus retirement;  // the last one
};

// What every write and every round of cleaning asks: the same work for ten segments and ten
// thousand.
struct PoolRoom {
  std::uint32_t segments = 0, segments_free = 0;
  std::uint32_t segments_kept = 0;      // of the free ones, those that kFresh may not take
  std::uint32_t segments_released = 0;  // free after the next checkpoint
  std::uint32_t segments_leaving = 0;   // free as soon as readers and discards have ended
  std::uint64_t capacity_bytes = 0;     // as in PoolStatus
  // With members missing, stripes are narrower and a segment holds less: as it is now.
  std::uint64_t segment_bytes = 0;     // data bytes in one
  std::uint64_t free_fresh_bytes = 0;  // data bytes in the free ones that kFresh may take
};

// Which open segment a stripe goes to: data that dies together lies together.
enum class StripeClass : std::uint8_t { kFresh = 0, kCleaned = 1, kIndex = 2 };

struct StripeItem {
  BufferChain bytes;
  format::StripeExtent extent;  // byte_offset and stored_bytes are filled in
};

struct WrittenStripe {
  format::StripeDescriptor stripe;
  std::vector<format::Place> places;  // one for each item, in order
};

// One live stripe as rebuild, scrub and degraded reads need it. Implemented on top of the index.
class StripeCatalog {
 public:
  virtual ~StripeCatalog() = default;
  // The stripe at that place, or nothing. Errors: kIo, kCorrupt (of the index).
  virtual Result<std::optional<format::StripeDescriptor>> find(SegmentId segment,
                                                               format::Generation generation,
                                                               std::uint32_t stripe_block) = 0;
  // All stripes of one segment's current generation, by stripe_block.
  virtual Result<std::vector<format::StripeDescriptor>> in_segment(SegmentId segment) = 0;
};

// A segment in use, for whoever compares.
struct SegmentView {
  SegmentId id;
  format::Generation generation;
  StripeClass kind = StripeClass::kFresh;
  std::uint8_t k = 0, m = 0;
  std::vector<Slot> slots;  // before rotation
  bool closed = false;      // nothing is appended any more, and nobody has released it
  bool unindexed = false;   // the index lacks a stripe of it that a record may name
  enum class Summary : std::uint8_t { kNone, kDue, kWritten } summary = Summary::kNone;
};

struct CheckpointFile {
  std::string name;         // for its owner
  std::string content_key;  // equal exactly when the bytes are equal; found in the pool by it
  std::uint64_t size_bytes = 0;
  bool operator==(const CheckpointFile&) const = default;
};

struct Checkpoint {
  format::CheckpointId id;
  ByteVector header;  // the owner's: applied positions, lane tails; at most 64 KiB
  std::vector<CheckpointFile> files;
  // When loaded: why newer ones, which labels name and which therefore were whole once, could not
  // be read. What the journal has let go since this one is then nowhere.
  std::string passed_over;
};

class Pool : public journal::JournalDisks {
 public:
  // Writes labels on disks that carry none. Errors: kExists when one carries a label (nothing is
  // written then; `disk wipe` is the only way to reuse it), kInvalid (too few or too small, the
  // same disk twice), kIo.
  static Async<> format(env::Env env, FormatOptions options);

  // Opens the disks, reads labels, decides the membership: foreign, cloned, doubled, rolled-back
  // and newer-format disks are listed as kForeign or kFailed with the reason, and never written.
  // Errors: kUnavailable when fewer than k members are good, naming what is missing; kUnsupported.
  static Async<std::unique_ptr<Pool>> open(env::Env env, OpenOptions options);

  ~Pool() override;

  const Geometry& geometry() const;
  PoolId id() const;
  PoolStatus status() const;
  PoolRoom room() const;
  std::vector<DiskStatus> disks() const;

  // ---- journal areas (JournalDisks). A member that is late with a write or a flush is set aside:
  // the call ends with kIo, the slot counts as lost to the lane, and is not among live_slots() for
  // a while. on_slot_joined() tells when it is again.
  std::vector<Slot> live_slots() const override;
  Async<> write(Slot slot, std::uint64_t journal_offset, BufferChain chain) override;
  Async<> read(Slot slot, std::uint64_t journal_offset, Buffer into) override;
  // Flushes of one disk are shared: a caller waits for a flush that began after its call.
  Async<> flush(Slot slot) override;

  // ---- start: checkpoint, then adoption
  // The newest checkpoint that is complete and readable, from the labels; nothing on a new pool.
  Async<std::optional<Checkpoint>> load_checkpoint();
  // The older one, when the newest cannot be used.
  Async<std::optional<Checkpoint>> load_older_checkpoint();
  // Reads a file of the checkpoint that was loaded. Verified. Errors: kDataLoss.
  Async<Buffer> read_checkpoint_file(const CheckpointFile& file, std::uint64_t offset,
                                     std::uint32_t size);
  // The last serving term that a label of the pool names, whether it came to serve or not.
  std::uint32_t last_epoch() const;
  // Writes the label, which names the loaded checkpoint and `epoch`, to every live disk, and
  // flushes: whatever disks are there at a later start, they know of this term.
  Async<> begin_epoch(std::uint32_t epoch);
  // A stripe that the index or the journal names: its segment is in use. Before serve(). One that
  // the catalog does not find yet is kept here until stripe_is_indexed(): say `indexed` where it
  // does. Errors: kCorrupt for one that fits no disk of this pool.
  Result<> adopt(const format::StripeDescriptor& stripe, bool indexed = false);
  // From now on stripes are written, under generations of `epoch`. Segments that neither the loaded
  // checkpoint calls used nor adopt() named are free.
  void serve(std::uint32_t epoch, StripeCatalog* catalog, std::function<void(Slot)> on_slot_lost);
  void on_slot_joined(std::function<void(Slot)> joined);

  // ---- stripes
  // Packs the items (an item that fits in a strip does not straddle two), pads, computes parity,
  // writes all k + m strips, flushes all, and checks that every member still lives. On return all
  // is durable, and any m of the disks may go. The stripe is in the way of rebuild and freeing from
  // before its first strip; forget_stripe() drops one that no record will ever name.
  // Errors: kIo when a strip could not be made durable (write the payload elsewhere), kNoSpace when
  // only the class's reserve is left, kInvalid when the items exceed a chunk.
  Async<WrittenStripe> write_stripe(StripeClass kind, std::vector<StripeItem> items);
  void forget_stripe(const format::StripeDescriptor& stripe);
  // Each of its strips is on a disk that lives: any m further disks may go.
  bool is_whole(const format::StripeDescriptor& stripe) const;
  // The index holds it now: find it through the catalog.
  void stripe_is_indexed(const format::StripeDescriptor& stripe);

  // Data bytes in one stripe of the largest size; and with the fewest blocks per strip.
  std::uint64_t stripe_bytes_max() const;
  std::uint64_t stripe_bytes_min() const;
  // And those that one more could still put into the open segment of that class.
  std::uint64_t stripe_bytes_left(StripeClass kind) const;

  using Verify = std::function<bool(Bytes)>;
  // Reads `size` bytes at `place`. The fast path reads only the strips that hold them; when a
  // member is missing, answers with an error or `verify` says no, the bytes are reconstructed from
  // the stripe's other strips, chosen by checksum, and counted as a corruption where it was one.
  // Bad strips on live disks are then written again in place from the others, and read back: a
  // place that holds garbage can lose nothing by it. A disk that does not give them back has
  // failed. A strip that a disk is late with is raced with a reconstruction from the others, and
  // the first answer that `verify` accepts is given. `damaged` is told of every stripe that was
  // found damaged, once; it may move it elsewhere. Errors: kDataLoss when fewer than k good strips
  // are left, or when all strips match their checksums and `verify` still says no; kNotFound when
  // the segment is in another generation, or was released while a disk was late: look the place up
  // again.
  Async<Buffer> read_place(const format::Place& place, std::uint32_t size, const Verify& verify);
  void on_damaged_stripe(std::function<void(const format::StripeDescriptor&)> damaged);

  // ---- checkpoints
  // Writes the files that the pool lacks, then the manifest, then the labels, one copy after the
  // other with a flush between, never the copy that names the last good checkpoint first.
  // `read` gives bytes of a file. On return the checkpoint is what recovery will find.
  // Errors: kUnavailable while fewer than k members are whole (nothing is written then: who comes
  // back must not find itself outdated), kIo, kNoSpace.
  using ReadFile =
      std::function<Async<Buffer>(const CheckpointFile&, std::uint64_t offset, std::uint32_t size)>;
  Async<> write_checkpoint(Checkpoint checkpoint, ReadFile read);

  // ---- freeing
  // In use and not open, of data classes, with every stripe in the index: for the cleaner.
  std::vector<SegmentId> closed_segments() const;
  bool is_closed(SegmentId segment) const;  // is one of them
  // Those of them that the index has no stripe of, and will not: nothing in them was ever named.
  std::vector<SegmentId> barren_segments() const;
  // Nothing needs it any more (docs/protocol.md, section 3, "Freeing", up to the checkpoint). It is
  // discarded and reused after the next write_checkpoint that starts from now, and after its
  // readers are gone.
  void release_segment(SegmentId segment);
  // Told each time that a segment has become free.
  void on_segment_freed(std::function<void()> freed);

  // ---- segment summaries (docs/formats/segment.md)
  // Written by the pool itself once a data segment is closed and the index has all of it.
  // Nothing when the segment is free.
  std::optional<SegmentView> segment(SegmentId segment) const;
  // Where the strip i of a stripe at that block of the segment lies.
  std::vector<Slot> slots_of(SegmentId segment, std::uint32_t stripe_block) const;
  // What the disks alone say. Errors: kNotFound (there is none yet), kDataLoss, kCorrupt.
  Async<format::SegmentSummary> read_summary(SegmentId segment);

  // ---- losses
  // Segments of data in which a stripe may have lost more than m strips; is_lost() knows.
  std::vector<SegmentId> segments_with_losses() const;
  // Bytes [byte_offset, byte_offset + size) of the stripe's data cannot be had from what is left.
  bool is_lost(const format::StripeDescriptor& stripe, std::uint32_t byte_offset,
               std::uint32_t size) const;

  // ---- disks by hand, and repair (docs/operations.md)
  // Errors: kNotFound (no live disk there), kConflict (fewer than k whole members would be left).
  Async<> fail_disk(Slot slot, std::string why);
  // As a spare. Errors: kExists (it carries a label), kInvalid (too small), kIo and as Disks::open.
  Async<DiskId> add_disk(std::string path);
  // Begins to put a spare (that one, if one is named) in the place of a member that still works;
  // status() says how far it is. Until the spare has the slot nothing has changed for anybody: it
  // gets all that is written, then what was written before
  // (docs/decisions/0015-retiring-a-disk.md). The member's labels are overwritten at the end.
  // Errors: kNotFound (no live disk there), kBusy (one is retired), kConflict (no such spare is
  // free; the member is being rebuilt).
  Result<> retire_disk(Slot slot, std::optional<DiskId> by = std::nullopt);
  // Errors: kConflict (none runs, or labels may name the spare by now).
  Result<> cancel_retirement();
  // One round of the reconcile loop: "k + m members, all live". Asks each disk whether its path
  // still names it; starts a rebuild when a spare is free and a member is missing, or goes on with
  // one that a crash interrupted; returns what it did, for logs. After serve().
  Async<std::string> reconcile();
  // A rebuild begins when this has returned: the journal's live records have their copies again.
  void before_rebuild(std::function<Task<void>()> wait);
  // Reads and checks every strip of every live stripe, from `from` on. Bad ones are written again
  // in place from the others, and told to on_damaged_stripe(). Errors: kBusy while one runs.
  Result<> start_scrub(SegmentId from = SegmentId(0));
  // The scrub that runs, if any, ends soon; what it has found so far is mended all the same.
  void cancel_scrub();
  void set_repair_pace(RepairPace pace);
  // Overwrites the labels of a disk that is in nobody's use: the only way to give it to another
  // pool. Errors: kBusy (a process has it open), kNotFound, kIo.
  static Async<> wipe_disk(env::Env env, std::string path);

  // Refuses new calls, waits for reads and writes in flight and for own tasks; flushes nothing.
  Task<void> stop();

 private:
  class Impl;
  explicit Pool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::pool
