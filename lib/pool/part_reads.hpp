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
  // Of one part.
  PartReads(env::Loop& loop, std::shared_ptr<SegmentTable> table, SegmentId segment, Part part);

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

// A part that another read of the stripe has, or waits for, and where in it the wanted blocks
// begin.
struct StripeIo::Sibling {
  std::shared_ptr<PartReads> reads;
  std::size_t part = 0;
  std::uint32_t skip = 0;
};

// While it lives, others find the read: what it has from the disks is not read again for the
// recovery of what it lacks.
class StripeIo::Listed {
 public:
  Listed(StripeIo* io, const StripeKey& key, std::shared_ptr<PartReads> reads)
      : io_(io), at_(io->listed_.emplace(key, std::move(reads))) {}
  ~Listed() { io_->listed_.erase(at_); }
  Listed(const Listed&) = delete;

 private:
  StripeIo* io_;
  std::multimap<StripeKey, std::shared_ptr<PartReads>>::iterator at_;
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
