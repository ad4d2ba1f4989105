#pragma once
// Rebuild and scrub: one pass over the live stripes in disk order, at a pace.

#include <deque>
#include <functional>
#include <memory>
#include <set>

#include "env/env.hpp"
#include "pool/checkpoint_store.hpp"
#include "pool/pacer.hpp"
#include "pool/stripe_io.hpp"
#include "pool/summaries.hpp"

namespace square::pool {

class Repair {
 public:
  Repair(env::Loop& loop, std::shared_ptr<Members> members, std::shared_ptr<SegmentTable> segments,
         StripeIo& stripes, CheckpointStore& checkpoints, Summaries& summaries, Pacer& pacer)
      : loop_(loop),
        members_(std::move(members)),
        segments_(std::move(segments)),
        stripes_(stripes),
        checkpoints_(checkpoints),
        summaries_(summaries),
        pacer_(pacer),
        mended_(loop) {}

  // Fills the slots that are rebuilding now, and makes them whole. `look`: some strips may be
  // there. Ends early when stop() is called or none of the disks is left; begins anew after that.
  Task<void> rebuild(bool look);
  // A scrub's status is that of the new pass from here on; scrub() then runs it, and ends when what
  // it found has been mended, or could not be.
  void begin_scrub(SegmentId from);
  Task<void> scrub();
  // A look at every strip of one segment's live stripes, now. Ends as scrub() does.
  Task<void> inspect(SegmentId segment);
  void cancel_scrub() { scrub_.cancelled = true; }
  // Writes the bad strips of stripes that readers met, until none is left to mend.
  void add_damaged(const format::StripeDescriptor& stripe);
  Task<void> mend();
  // Stripes written while too few members lived for all m parity strips, now that there are enough:
  // tells on_damaged of each, once.
  void report_thin_stripes();
  void stop() { stopping_ = true; }

  RepairStatus rebuild_status() const { return status_of(rebuild_); }
  RepairStatus scrub_status() const { return status_of(scrub_); }

  std::function<Task<void>()> before_rebuild;

 private:
  struct Pass {
    RepairStatus status;
    Pacer::Pass pacing;
    bool complete = true;  // nothing was left out for an error that may pass
    bool cancelled = false;
  };
  void begin(Pass& pass, SegmentId from, const std::vector<Slot>& slots);
  struct Window;
  // What to do with one stripe: fill in what is missing, or only look.
  enum class Work : std::uint8_t { kFill, kFillAfterLook, kLook };
  Task<void> run(Pass& pass, Work work);
  Task<void> run_segment(Window* window, Pass* pass, SegmentId segment, Work work);
  Task<void> run_stripe(Window* window, Pass* pass, format::StripeDescriptor stripe, Work work,
                        bool* whole);
  // False when it has to be tried again in another pass. A stripe that is lost is settled.
  Task<bool> fill(Pass& pass, format::StripeDescriptor stripe, StripeIo::Purpose purpose);
  Task<bool> look(Pass& pass, format::StripeDescriptor stripe);
  Task<bool> settle_summary(SegmentId segment, Work work);
  Task<void> hold_back(Pass& pass, const format::StripeDescriptor& stripe);
  bool over(const Pass& pass) const;
  bool concerns(const Pass& pass, SegmentId segment) const;
  Result<std::vector<format::StripeDescriptor>> live_stripes(SegmentId segment) const;
  RepairStatus status_of(const Pass& pass) const;

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  StripeIo& stripes_;
  CheckpointStore& checkpoints_;
  Summaries& summaries_;
  Pacer& pacer_;
  Pass rebuild_, scrub_;
  std::deque<format::StripeDescriptor> damaged_;
  env::Event mended_;  // pulsed when none of them is left, or mend() has to stop
  std::set<format::Generation> thin_reported_;
  bool stopping_ = false;
};

}  // namespace square::pool
