#pragma once
// Stripes to and from the disks: writing one, reading a part of one through whatever is left of it,
// reading all of it, and putting back strips that are gone.

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "env/env.hpp"
#include "pool/members.hpp"
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
  kAbsent,      // its disk is missing or does not have it yet
  kUnreadable,  // its disk is alive and cannot read it
  kRotten,      // its checksum differs
};

// All strips of one stripe, as far as they can be read.
struct StripSet {
  std::vector<Buffer> strips;      // empty where there is a fault
  std::vector<StripFault> faults;
  std::size_t good = 0;
};

struct StripeCounters {
  std::uint64_t corruptions_found = 0, corruptions_repaired = 0;
  std::uint64_t data_bytes = 0, parity_bytes = 0, checkpoint_bytes = 0, rebuilt_bytes = 0;
};

class StripeIo {
 public:
  StripeIo(env::Loop& loop, std::shared_ptr<Members> members,
           std::shared_ptr<SegmentTable> segments)
      : loop_(loop), members_(std::move(members)), segments_(std::move(segments)) {}

  // Contracts: Pool.
  Async<WrittenStripe> write(StripeClass kind, std::vector<StripeItem> items);
  Async<Buffer> read(format::Place place, std::uint32_t size, Pool::Verify verify);

  // [from, from + size) of the stripe's data, every strip of it checked. Errors: kDataLoss.
  Async<Buffer> read_verified(format::StripeDescriptor stripe, std::uint32_t from,
                              std::uint32_t size);
  // Reads and checks every strip; counts and reports what is rotten.
  Task<StripSet> read_strips(format::StripeDescriptor stripe);
  // Recovers the strips that are not good, in place. Errors: kDataLoss, naming the stripe.
  Result<> recover(const format::StripeDescriptor& stripe, StripSet& set) const;
  // Every strip of the stripe that a live disk should have and has not, is written there again;
  // checked before and flushed after. Returns the number of strips written.
  // Errors: kDataLoss, kIo.
  Async<std::uint32_t> restore(format::StripeDescriptor stripe);

  // ---- stripes that the catalog does not know yet
  void note_adopted(const format::StripeDescriptor& stripe) { adopted_[key_of(stripe)] = stripe; }
  void forget(const StripeKey& key);
  // Its pending stripes were taken by the index, or their records never came to be.
  void segment_released(SegmentId segment);
  std::vector<format::StripeDescriptor> pending_in(SegmentId segment) const;
  // Checksums are there (a stripe whose strips are still being computed has none).
  static bool complete(const format::StripeDescriptor& stripe) {
    return !stripe.checksums.empty();
  }

  StripeCatalog* catalog = nullptr;
  std::function<void(const format::StripeDescriptor&)> on_damaged;
  // Stripes of checkpoint files.
  std::function<std::optional<format::StripeDescriptor>(const StripeKey&)> find_index_stripe;
  StripeCounters counters;

 private:
  struct Part;    // of a read, on one strip
  struct Strips;  // to be written
  Result<> check_place(const format::Place& place, std::uint32_t size) const;
  Async<> write_strips(format::StripeDescriptor& stripe, std::vector<StripeItem> items,
                       StripeClass kind, std::vector<MemberDiskPtr> disks);
  Async<> read_parts(const format::Place& place, const std::vector<Slot>& slots,
                     const std::vector<Part>& parts, std::vector<bool>& missing);
  Async<Buffer> read_degraded(format::Place place, std::uint32_t size, Pool::Verify verify,
                              bool content_was_wrong);
  Async<> read_around(const format::StripeDescriptor& stripe, const std::vector<Part>& parts,
                      const std::vector<bool>& missing);
  Result<format::StripeDescriptor> find(const format::Place& place) const;
  Async<> read_strip(const format::StripeDescriptor& stripe, std::size_t strip,
                     std::uint32_t from, Buffer into);
  std::uint64_t offset_of(SegmentId segment, std::uint32_t stripe_block) const;
  Error lost(const format::StripeDescriptor& stripe, const StripSet& set) const;

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  std::map<StripeKey, format::StripeDescriptor> pending_;  // written in this run
  std::map<StripeKey, format::StripeDescriptor> adopted_;  // found at start
  std::map<StripeKey, std::set<std::size_t>> damaged_;     // strips found bad, each counted once
};

}  // namespace square::pool
