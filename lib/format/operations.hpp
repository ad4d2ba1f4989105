#pragma once
// The node's list of long operations: what was asked for, how far it is, how it ended. A file of
// the state directory, docs/formats/operations.md; without it the list is empty and nothing else
// is lost.

#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace square::format {

enum class LongOperationState : std::uint8_t {
  kRunning = 1,
  kDone = 2,
  kFailed = 3,
  kCancelled = 4
};
std::string_view operation_state_name(LongOperationState state);  // as in `square op ls`

struct LongOperation {
  std::string id;    // "scrub-1f03a9c2": never given twice
  std::string kind;  // "scrub", "retire", "replace"
  LongOperationState state = LongOperationState::kRunning;
  std::string message;  // for people: why it failed, what was found
  std::int64_t began_wall_ns = 0, ended_wall_ns = 0;
  std::uint32_t restarts = 0;  // of the node, that it went on after
  std::uint64_t done_bytes = 0, total_bytes = 0;
  std::uint64_t corruptions_found = 0, corruptions_repaired = 0, stripes_lost = 0;
  SegmentId cursor;  // where it goes on after a restart
  Slot slot;         // of one that is about a disk: where the disk is, or was, that leaves
  DiskId disk;       // that disk
  bool operator==(const LongOperation&) const = default;
};

inline constexpr std::size_t kOperationsMax = 1024;

// In the newest version.
ByteVector encode_operations(const std::vector<LongOperation>& operations);
// Of this version and the one before. Errors: kCorrupt, kUnsupported (a newer version).
Result<std::vector<LongOperation>> decode_operations(Bytes bytes);

}  // namespace square::format
