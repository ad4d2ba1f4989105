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
  Async<> log_direct(std::shared_ptr<LoggedOperation> logged);
  Async<> place(LoggedOperation& logged);
  static void unplace(LoggedOperation& logged);
  bool is_whole(const LoggedOperation& logged) const;
  Core& core_;
};

// The extents of a write, as write_stripe takes them.
std::vector<pool::StripeItem> stripe_items(const format::Operation& operation,
                                           const std::vector<Buffer>& stored);
// Places of items, in order, and the stripes that they lie in.
struct PlacedItems {
  std::vector<format::Place> places;
  std::vector<format::StripeDescriptor> stripes;
};
// Writes the items to as few stripes as hold them; a stripe that loses a member while it is written
// is tried again, up to `attempts` in all. Errors: as Pool::write_stripe; no stripe stays known to
// the pool then.
Async<PlacedItems> place_items(pool::Pool& pool, pool::StripeClass kind,
                               std::vector<pool::StripeItem> items, int attempts);
inline constexpr int kStripeAttempts = 4;
// Content of one stripe: a little less than it could hold, for packing leaves gaps.
std::uint64_t stripe_fill_bytes(const pool::Pool& pool);

// Appends; the tail stays below the record from the moment it is durable until the hold is
// released.
Async<LaneLedger::Hold> append_held(Core& core, format::LaneRecord record,
                                    journal::Reserve reserve);

}  // namespace square::store
