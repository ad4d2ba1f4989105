#pragma once
// Stripes to and from the disks: writing one, reading a part of one through whatever is left of it,
// reading all of it, and putting back strips that are gone.

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "env/env.hpp"
#include "pool/hedge_core.hpp"
#include "pool/members.hpp"
#include "pool/prompt_io.hpp"
#include "pool/segments.hpp"

namespace square::pool {

struct StripeKey {
  SegmentId segment;
  format::Generation generation;
  std::uint32_t stripe_block = 0;
  auto operator<=>(const StripeKey&) const = default;
};
inline StripeKey key_of(const format::StripeDescriptor& stripe) {
  return {stripe.segment, stripe.generation, stripe.stripe_block};
}

enum class StripFault : std::uint8_t {
  kNone,
  kNotRead,     // enough others were good
  kAbsent,      // its disk is missing or does not have it yet
  kUnreadable,  // its disk is alive and cannot read it
  kRotten,      // its checksum differs
};

// All strips of one stripe, as far as they can be read.
struct StripSet {
  std::vector<Buffer> strips;  // empty where there is a fault
  std::vector<StripFault> faults;
  std::size_t good = 0;
};

struct StripeCounters {
  std::uint64_t corruptions_found = 0, corruptions_repaired = 0;
  std::uint64_t data_bytes = 0, parity_bytes = 0, checkpoint_bytes = 0, rebuilt_bytes = 0;
  std::uint64_t summary_bytes = 0;                            // of data and parity
  std::uint64_t races = 0, races_won = 0, races_refused = 0;  // of late reads with parity
};

class StripeIo {
 public:
  StripeIo(env::Loop& loop, std::shared_ptr<Members> members,
           std::shared_ptr<SegmentTable> segments, PromptIo& prompt)
      : loop_(loop),
        members_(std::move(members)),
        segments_(std::move(segments)),
        prompt_(prompt),
        write_ended_(loop),
        scope_(loop) {}

  // Contracts: Pool.
  Async<WrittenStripe> write(StripeClass kind, std::vector<StripeItem> items);
  Async<Buffer> read(format::Place place, std::uint32_t size, Pool::Verify verify);

  // The stripe is of its segment's present use. While a Reader of the segment lives it stays so.
  bool current(const format::StripeDescriptor& stripe) const;
  // [from, from + size) of the stripe's data, every strip of it checked. Errors: kDataLoss.
  Async<Buffer> read_verified(format::StripeDescriptor stripe, std::uint32_t from,
                              std::uint32_t size);
  // Reads and checks strips, all of them or until k are good; counts and reports what is rotten.
  enum class HowMany : std::uint8_t { kAll, kEnough };
  Task<StripSet> read_strips(format::StripeDescriptor stripe, HowMany how_many);
  // Recovers the wanted strips that are not there. Errors: kDataLoss, naming the stripe.
  Async<> recover(const format::StripeDescriptor& stripe, StripSet& set, std::vector<bool> wanted);

  // Writes strips that are not there, recovered from others that match their checksums; what was
  // recovered must match its own. Returns how many. Does nothing to a stripe of an earlier use of
  // its segment. Errors: kDataLoss, kIo.
  //   kFill: what disks that are being rebuilt lack; it is not flushed yet.
  //   kFillAfterLook: the same, but what they have from before is left alone.
  //   kMend: what is bad on disks that should have it; flushed and read back.
  enum class Purpose : std::uint8_t { kFill, kFillAfterLook, kMend };
  Async<std::uint32_t> restore(format::StripeDescriptor stripe, Purpose purpose);

  // ---- stripes that the catalog does not know yet
  void note_adopted(const format::StripeDescriptor& stripe) { adopted_[key_of(stripe)] = stripe; }
  void forget(const StripeKey& key);
  // As it was written in this run; nothing once it is forgotten.
  const format::StripeDescriptor* written(const StripeKey& key) const;
  // Its pending stripes were taken by the index, or their records never came to be.
  void segment_released(SegmentId segment);
  // Those that are written.
  std::vector<format::StripeDescriptor> pending_in(SegmentId segment) const;
  // Being written, or named by a record whose operations the index lacks.
  bool has_unindexed(SegmentId segment) const;
  // All its strips stand there anew: what was found bad is repaired.
  void note_rewritten(const StripeKey& key);
  // Of its strips these are known to be gone: their disks are, or they are rotten.
  std::vector<bool> gone(const format::StripeDescriptor& stripe) const;
  // Those of which strips were found bad, and how many.
  std::vector<std::pair<StripeKey, std::size_t>> damaged_stripes() const;
  // Resumes when no write is under way in the segment.
  Task<void> wait_writes_of(SegmentId segment);
  // Reads that lost their race have ended. Nobody may call anything any more.
  Task<void> join() { co_await scope_.join(); }

  StripeCatalog* catalog = nullptr;
  std::function<void(const format::StripeDescriptor&)> on_damaged;
  // Told of every damaged stripe that is read: calls restore() later.
  std::function<void(const format::StripeDescriptor&)> mend;
  // Stripes of checkpoint files.
  std::function<std::optional<format::StripeDescriptor>(const StripeKey&)> find_index_stripe;
  StripeCounters counters;

 private:
  struct Part;       // of a read, on one strip
  struct PartReads;  // of one read
  struct Around;     // the reconstruction that races with them
  struct Sibling;    // a read of the same stripe
  class Listed;      // a read that others of its stripe may find
  struct Pending {
    format::StripeDescriptor stripe;
    bool written = false;
  };
  Result<> check_place(const format::Place& place, std::uint32_t size) const;
  Async<> write_strips(format::StripeDescriptor& stripe, std::vector<StripeItem> items,
                       StripeClass kind, std::vector<MemberDiskPtr> disks);
  Async<> hold_and_write(SegmentId segment, MemberDiskPtr disk, std::uint64_t offset,
                         BufferChain chain);
  std::shared_ptr<PartReads> start_parts(const format::Place& place, std::uint32_t size);
  Task<void> run_part(std::shared_ptr<PartReads> reads, std::size_t i, MemberDiskPtr disk,
                      std::uint64_t offset);
  env::Duration late_after(const format::Place& place, const PartReads& reads) const;
  Task<void> wait_in_time(std::shared_ptr<PartReads> reads, env::Duration after);
  // Errors: kBusy (the direct reads have ended first, or no budget), others as they come: wait for
  // the direct reads then.
  Async<Buffer> race(format::Place place, std::shared_ptr<PartReads> direct, Pool::Verify verify);
  Task<void> run_around(std::shared_ptr<Around> around);
  std::vector<std::size_t> quick_first(const format::StripeDescriptor& stripe,
                                       const std::vector<bool>& gone, std::uint64_t size) const;
  Async<Buffer> read_degraded(format::Place place, std::uint32_t size, Pool::Verify verify);
  Async<> read_around(const format::StripeDescriptor& stripe, const std::vector<Part>& parts,
                      const std::vector<StripFault>& faults);
  bool lacks_a_member(SegmentId segment) const;
  std::optional<Sibling> sibling_with(const StripeKey& key, std::size_t strip, std::uint32_t from,
                                      std::uint32_t end) const;
  Sibling start_strip(const format::StripeDescriptor& stripe, std::size_t strip, std::uint32_t from,
                      std::uint32_t end);
  Async<> take_strip(Sibling sibling, std::uint32_t size, Buffer* into);
  Result<format::StripeDescriptor> find(const format::Place& place) const;
  Task<void> check_strips(const format::StripeDescriptor& stripe, StripSet& set,
                          std::vector<std::size_t> which);
  void note_mended(const StripeKey& key, std::size_t strip);
  bool is_damaged(const StripeKey& key, std::size_t strip) const;
  Async<> prove_mended(const format::StripeDescriptor& stripe, std::size_t strip);
  void note_damage(const format::StripeDescriptor& stripe, const StripSet& set);
  Async<std::vector<bool>> strips_to_write(const format::StripeDescriptor& stripe,
                                           const StripSet& set, Purpose purpose);
  Async<> read_strip(MemberDiskPtr disk, const format::StripeDescriptor& stripe, std::uint32_t from,
                     Buffer into);
  std::uint64_t offset_of(SegmentId segment, std::uint32_t stripe_block) const;
  Error lost(const format::StripeDescriptor& stripe, const StripSet& set) const;

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  PromptIo& prompt_;
  std::map<StripeKey, Pending> pending_;                   // of this run
  std::map<StripeKey, format::StripeDescriptor> adopted_;  // found at start
  std::map<StripeKey, std::set<std::size_t>> damaged_;     // strips found bad, each counted once
  std::map<SegmentId, std::uint32_t> writing_;
  std::multimap<StripeKey, std::shared_ptr<PartReads>> listed_;  // where strips are recovered
  env::Event write_ended_;
  HedgeCore hedge_;
  env::Scope scope_;  // last: its tasks use all of the above
};

}  // namespace square::pool
