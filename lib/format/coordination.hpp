#pragma once
// What the coordinator holds: a record for each group (docs/protocol.md, section 6), and the whole
// of it as the embedded coordinator's file. docs/formats/coordination.md.

#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"

namespace square::format {

// Who serves a group, under which epoch, and who else holds what was acknowledged.
struct GroupRecord {
  GroupId group;
  // Of the coordinator's whole state, when this record changed last: later changes, of whichever
  // group, have higher ones. 0: the coordinator has no record of the group.
  std::uint64_t revision = 0;
  Incarnation incarnation;
  Epoch epoch;
  NodeId primary;
  NodeId replica;  // nil: none
  NodeId backup;   // nil: none
  bool in_sync = false;
  // Whom an order to accept loss names that has been recorded and has not taken effect; nil: none.
  NodeId pending_loss;
  bool operator==(const GroupRecord&) const = default;
};

struct CoordinatorState {
  CoordinatorId identity;  // drawn when the state was made: another one is another coordinator
  std::uint64_t revision = 0;
  std::vector<GroupRecord> groups;  // by id
  bool operator==(const CoordinatorState&) const = default;
};

inline constexpr std::size_t kCoordinatedGroupsMax = 4096;
inline constexpr std::size_t kCoordinatorStateBytesMax = 1u << 20;

ByteVector encode_coordinator_state(const CoordinatorState& state);
// Errors: kCorrupt, kUnsupported (a newer version).
Result<CoordinatorState> decode_coordinator_state(Bytes bytes);

}  // namespace square::format
