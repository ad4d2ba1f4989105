#pragma once
// The direct reads of one place, in flight. Shared by the caller and the reads: a caller that has
// its answer from elsewhere goes, and the memory stays until the last disk has answered; until then
// the segment is not reused either. Private to StripeIo.

#include <algorithm>
#include <optional>
#include <vector>

#include "env/sync.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {

// Whole blocks of one strip, and where they go.
struct StripeIo::Part {
  std::size_t strip = 0;
  std::uint32_t from = 0;
  Buffer into;
};

struct StripeIo::PartReads {
  PartReads(env::Loop& loop, std::shared_ptr<SegmentTable> table, const format::Place& place,
            std::uint32_t size);

  bool ended() const { return waiting == 0; }
  bool whole() const {
    return ended() && std::ranges::all_of(faults, [](auto f) { return f == StripFault::kNone; });
  }
  bool unreadable() const { return std::ranges::count(faults, StripFault::kUnreadable) != 0; }
  // Of what has not ended.
  std::uint64_t late_bytes() const;
  // What was asked for, out of a window like this one's.
  Buffer wanted(const Buffer& of) const { return of.slice(skip, size); }

  std::optional<SegmentTable::Reader> reader;  // until all have ended
  std::uint32_t first = 0;                     // of the blocks that hold it, in the stripe's data
  std::uint32_t skip = 0, size = 0;
  Buffer window;
  std::vector<Part> parts;
  std::vector<StripFault> faults;  // kNotRead: not ended yet
  std::size_t waiting = 0;
  bool overdue = false;
  env::Event changed;  // pulsed
};

// Its memory is its own: late direct reads may still write to theirs.
struct StripeIo::Around {
  std::shared_ptr<PartReads> direct;
  format::StripeDescriptor stripe;
  Buffer window;
  std::vector<Part> parts;  // those that are to be recovered
  std::vector<StripFault> faults;
  Result<> result;
  bool done = false;
};

}  // namespace square::pool
