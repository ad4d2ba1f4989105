#pragma once
// Which of the batches found on the disks are the log: recovery's decision, without I/O.
//
// Every valid header of this pool and lane is a candidate, whatever its body. The log starts at the
// highest tail that any of them, or the checkpoint, names, and goes along the chain that reaches
// the highest epoch, then the farthest. A candidate whose body no copy has is dropped, and the
// choice is made anew. Why that finds every durable batch: two chains part only where the older
// one's batch was not durable when the newer one's process recovered; from then on only the newer,
// whose epoch is higher, can have durable batches beyond that point. So stale batches of the older
// one, also beyond the end, and also on disks that were away, do no harm however many of them are
// left.

#include <map>
#include <utility>
#include <vector>

#include "format/journal_batch.hpp"
#include "journal/lane_core.hpp"

namespace square::journal {

struct Candidate {
  format::JournalHeader header;
  std::vector<Slot> copies;     // slots with this header
  std::vector<Slot> good;       // of these, whose body was read and fits
  std::vector<Buffer> records;  // from a good copy
  bool verified = false;        // all copies were read
};

class ChainFinder {
 public:
  ChainFinder(const LaneConfig& config, format::LanePoint checkpoint_tail);

  // A valid header read from `slot` at `ring_offset`; ignored when it is not of this pool and lane,
  // or cannot lie there.
  void add(Slot slot, std::uint64_t ring_offset, const format::JournalHeader& header);
  // The slot's copies do not count any more.
  void lose(Slot slot);

  format::LanePoint tail() const { return tail_; }
  Epoch highest_epoch() const { return highest_epoch_; }
  // Everything below is durable, some header says.
  LanePosition durable_claim() const { return durable_claim_; }

  // The log as far as is known now, from the tail to the first hole. Pointers stay valid until
  // drop_bad().
  std::vector<Candidate*> path();
  // Forgets the verified candidates of which no good copy exists. True when there was one.
  bool drop_bad();

 private:
  using Key = std::pair<LanePosition, format::Hash128>;  // position and chain before it

  LaneConfig config_;
  format::LanePoint tail_;
  Epoch highest_epoch_;
  LanePosition durable_claim_;
  std::multimap<Key, Candidate> candidates_;
};

}  // namespace square::journal
