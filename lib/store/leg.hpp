#pragma once
// One copy of a group's log: this node's disks, or (with the mirror) the replica's. An operation is
// committed when every in-sync leg holds it durably, and everything before it.

#include <memory>
#include <vector>

#include "format/record.hpp"
#include "store/ledger.hpp"

namespace square::store {

// An operation from the moment it has a sequence until the index has taken it.
struct LoggedOperation {
  format::Operation operation;
  std::vector<Buffer> stored;  // of each extent of a write; emptied once it has a place
  std::uint64_t stored_bytes = 0;
  std::uint64_t held_bytes = 0;  // of the write buffer's budget
  bool sealed = false;           // content and chain are final once its turn has come
  bool durable = false;          // on every in-sync leg
  bool committed = false;
  bool direct = false;             // gets a stripe of its own
  std::coroutine_handle<> waiter;  // resumed when `outcome` is set
  std::optional<Result<>> outcome;
  // This node's copy: where its record stands in the lane, and the stripes of a direct write.
  LaneLedger::Hold hold;
  std::vector<format::StripeDescriptor> stripes;
};

class Leg {
 public:
  virtual ~Leg() = default;
  // Returns when `logged` is durable on this leg. Called in sequence order; answers may come in
  // any. An error means that the leg cannot take anything any more.
  virtual Async<> log(std::shared_ptr<LoggedOperation> logged) = 0;
};

}  // namespace square::store
