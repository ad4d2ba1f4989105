#pragma once
// This node's copy of the log: a small operation goes into the journal whole, a large one to a
// stripe of its own, with only its placement in the journal.

#include "store/core.hpp"
#include "store/leg.hpp"

namespace square::store {

class LocalLeg : public Leg {
 public:
  explicit LocalLeg(Core& core) : core_(core) {}
  Async<> log(std::shared_ptr<LoggedOperation> logged) override;

 private:
  Async<> place(LoggedOperation& logged);
  Core& core_;
};

// The extents of a write, as write_stripe takes them.
std::vector<pool::StripeItem> stripe_items(const format::Operation& operation,
                                           const std::vector<Buffer>& stored);
// Appends and keeps the tail below the record from before the call until the hold is released.
Async<LaneLedger::Hold> append_held(Core& core, format::LaneRecord record,
                                    journal::Reserve reserve);

}  // namespace square::store
