#pragma once
// Where a cell agrees on who serves a group: one record per group, changed by compare-and-swap only
// (docs/protocol.md, section 6). Whoever implements it must pass tests/conformance/
// coordinator_conformance.hpp. What it says was true when it answered; nothing is promised about
// afterwards, so that leases are counted from before the question.

#include <optional>
#include <vector>

#include "env/env.hpp"
#include "format/coordination.hpp"

namespace square::cluster {

struct CoordinatorAnswer {
  CoordinatorId identity;  // another one than before: not the coordinator that was known
  std::uint64_t revision =
      0;  // of its whole state; lower than one that was seen: it was rolled back
  std::optional<format::GroupRecord> record;  // as it is now, also after a swap; nothing: none yet
  bool swapped = false;
};

class Coordinator {
 public:
  virtual ~Coordinator() = default;

  // Errors: kUnavailable, kTimeout.
  virtual Async<CoordinatorAnswer> read(GroupId group) = 0;

  // Replaces the record when its revision is `expected` (0: there is none), and gives the new one
  // the next revision; `wanted.revision` is not looked at. Durable when it says `swapped`. Not
  // swapped is an answer too: a newer record stands there, and this request can no more succeed.
  // Errors: kOutcomeUnknown: it may have been done, or be done later, for as long as the expected
  // revision still stands: ask again with the same request. kUnavailable: it was not done and will
  // not be. kNoSpace: no room for another group.
  virtual Async<CoordinatorAnswer> compare_and_swap(std::uint64_t expected,
                                                    format::GroupRecord wanted) = 0;

  // Resumes when the state has a revision above `known`, or after `at_most`, or for no reason. True
  // when it knows of such a revision; either way only a hint to look. Errors: kUnavailable.
  virtual Async<bool> wait_for_change(std::uint64_t known, env::Duration at_most) = 0;

  // Every group's record, by id. Errors: kUnavailable, kTimeout.
  virtual Async<std::vector<format::GroupRecord>> list() = 0;
};

}  // namespace square::cluster
