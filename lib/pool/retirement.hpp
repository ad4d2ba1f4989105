#pragma once
// Puts a spare in the place of a member that still works, one at a time
// (docs/decisions/0015-retiring-a-disk.md).

#include <functional>
#include <optional>
#include <string>

#include "pool/members.hpp"
#include "pool/pacer.hpp"
#include "pool/segments.hpp"

namespace square::pool {

class Retirement {
 public:
  Retirement(env::Loop& loop, std::shared_ptr<Members> members,
             std::shared_ptr<SegmentTable> segments, Pacer& pacer)
      : loop_(loop),
        members_(std::move(members)),
        segments_(std::move(segments)),
        pacer_(pacer),
        look_(loop) {}

  // From here on the spare is the member's twin; run() does the rest. Errors: as Pool::retire_disk.
  Result<> begin(Slot slot, std::optional<DiskId> by);
  // Ends when the spare has the slot, or was given up. Nothing is lost in either case.
  Task<void> run();
  bool active() const { return status_.pass.active; }
  // The twin is a spare again (once nothing is on its way to it). Errors: kConflict (none runs, or
  // labels may name the twin by now).
  Result<> give_up(const std::string& why);
  // A disk has failed: was it one of the two?
  void look() { look_.pulse(); }
  void stop();

  RetirementStatus status() const;

  // Looks at the segment's stripes and writes anew what is bad. Whoever writes to the member writes
  // to its twin.
  std::function<Task<void>(SegmentId)> inspect;

 private:
  Async<> copy();
  Async<> copy_range(std::uint64_t offset, std::uint64_t size);
  Task<void> hand_over();
  bool lies_on(SegmentId segment) const;
  bool goes_on() const;

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  Pacer& pacer_;
  Pacer::Pass pacing_;
  RetirementStatus status_;
  MemberDiskPtr member_, twin_;
  env::Event look_;
  bool stopping_ = false;
};

}  // namespace square::pool
