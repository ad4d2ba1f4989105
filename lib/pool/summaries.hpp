#pragma once
// The summaries of closed data segments: written once every stripe of the segment is in the index
// or will never be, read from the disks alone, kept whole by rebuild and scrub.
// docs/formats/segment.md; docs/protocol.md, section 3.
//
//   chunk of each member:  | stripes ... | free | a strip of the summary | footer |
//
// A footer is written when all strips are flushed: where one stands, the summary was whole. Without
// any, it was never finished, which is no damage: it is written again, from the index.

#include <map>
#include <memory>
#include <set>

#include "env/sync.hpp"
#include "format/summary.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {

class Summaries {
 public:
  Summaries(env::Loop& loop, std::shared_ptr<Members> members,
            std::shared_ptr<SegmentTable> segments, StripeIo& stripes);

  // ---- writing
  // A stripe that was written in this run and that the index took: the writer's own word, so that
  // the summary does not repeat what the index made of it.
  void note(const format::StripeDescriptor& stripe);
  // The segment has been closed, or was found without a complete summary.
  void want(SegmentId segment) { wanted_.insert(segment); }
  bool due(SegmentId segment) const {
    return wanted_.contains(segment) || later_.contains(segment);
  }
  // One of those that are wanted can be written now.
  bool any_ready() const;
  // Writes those, or completes what a crash has left.
  Task<void> write_wanted();
  // The segment was released: nobody will ask what was in it.
  void forget(SegmentId segment);
  // Those that failed are wanted again.
  void retry() { wanted_.merge(later_); }
  void stop() { stopping_ = true; }

  // ---- reading
  // From any k members. Errors: kNotFound (none was finished), kDataLoss, kCorrupt.
  Async<format::SegmentSummary> read(SegmentId segment);

  // ---- keeping whole, with the stripes of the segment
  // The slots that are being rebuilt get what is theirs.
  Async<> fill(SegmentId segment, StripeIo::Purpose purpose);
  // Looks at every strip and footer; mends what is bad, or has it written again.
  Task<void> scrub(SegmentId segment);

 private:
  struct Footers {
    std::vector<std::optional<format::SummaryFooter>> at;  // of each of the segment's slots
    std::vector<format::SummaryFooter> distinct;           // the most frequent first
  };
  bool ready(SegmentId segment) const;
  bool fits(const format::SummaryFooter& footer, SegmentId segment) const;
  std::uint64_t footer_offset(SegmentId segment) const;
  // What is found. The caller holds a Reader of the segment.
  Task<Footers> read_footers(SegmentId segment);
  Async<std::pair<format::SegmentSummary, format::SummaryFooter>> read_by(Footers footers,
                                                                          SegmentId segment);
  std::vector<MemberDiskPtr> disks_without(SegmentId segment, const Footers& footers,
                                           const format::SummaryFooter& footer) const;

  // The caller has at_work_ and a Reader.
  Async<> settle(SegmentId segment);
  Result<format::SegmentSummary> compose(SegmentId segment) const;
  Async<> write(SegmentId segment, format::SegmentSummary summary);
  Async<> put_footers(SegmentId segment, format::SummaryFooter footer,
                      std::vector<MemberDiskPtr> disks);
  Async<> put(std::vector<MemberDiskPtr> disks, std::uint64_t offset,
              std::vector<BufferChain> chains, std::size_t enough);
  Task<void> mend_footers(SegmentId segment, Footers footers, format::SummaryFooter footer);
  void write_again(SegmentId segment);

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  StripeIo& stripes_;
  env::Mutex at_work_;  // a summary is written, filled or mended by one at a time
  std::set<SegmentId> wanted_, later_;
  std::map<SegmentId, format::SegmentSummary> noted_;  // of segments of this run
  bool stopping_ = false;
};

}  // namespace square::pool
