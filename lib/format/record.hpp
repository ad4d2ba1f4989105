#pragma once
// What the journal carries: operations of a group's log, and the lane's own records.
// docs/formats/record.md has the bytes.
//
// A group's log is its operations in sequence order. The same operation has the same content and
// the same chain hash on every node; where its bytes lie differs from node to node and is no part
// of it.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/buffer.hpp"
#include "format/types.hpp"

namespace square::format {

enum class OperationType : std::uint8_t {
  kWrite = 1,  // map a range to new extents
  kHole = 2,   // trim or zero: map a range to nothing
  kPutRecord = 3,
  kDeleteRecord = 4,
  kSnapshotMark = 5,  // the state as of this sequence is kept
  kDropSnapshot = 6,
  kPurgeVolume = 7,  // a deleted volume's mappings may go
  kRewrite = 8,      // the same content sealed anew: not a change
  kTermMark = 9,     // a serving term begins
  kSessionEnd = 10,
  kVoid = 11,  // fills a sequence whose operation failed after taking it
};

// One extent of a write: `extent` is mapped at [offset, offset + extent.plain_bytes) of the volume.
struct WrittenExtent {
  std::uint64_t offset = 0;  // multiple of 4 KiB
  ExtentRef extent;
  bool operator==(const WrittenExtent&) const = default;
};

struct WriteBody {
  VolumeId volume;
  std::vector<WrittenExtent> extents;  // ascending, not overlapping
  // kRewrite only, one per extent: what it read. It changes only ranges that still map to it.
  std::vector<ExtentId> expected;
  bool operator==(const WriteBody&) const = default;
};
struct HoleBody {
  VolumeId volume;
  std::uint64_t offset = 0, length = 0;  // multiples of 4 KiB
  bool operator==(const HoleBody&) const = default;
};
// Keys: "vol/<16 hex digits of the id>", "name/<volume name>", "seal/<8 hex>", "ses/<16 hex>"...
struct RecordBody {
  std::string key;   // at most 512 bytes
  ByteVector value;  // at most 64 KiB; empty for kDeleteRecord
  bool operator==(const RecordBody&) const = default;
};
struct DropBody {
  SnapshotId snapshot;  // does nothing where {sequence, chain} is gone
  bool operator==(const DropBody&) const = default;
};
struct PurgeBody {
  VolumeId volume;
  bool operator==(const PurgeBody&) const = default;
};
struct TermBody {
  Epoch old_epoch;
  Sequence last;  // the old term's last sequence that counts
  Hash128 last_chain{};
  bool operator==(const TermBody&) const = default;
};
struct SessionEndBody {
  SessionId session;
  bool operator==(const SessionEndBody&) const = default;
};
struct EmptyBody {  // kSnapshotMark, kVoid
  bool operator==(const EmptyBody&) const = default;
};

struct Operation {
  OperationType type = OperationType::kVoid;
  GroupId group;
  Incarnation incarnation;
  Epoch epoch;
  Sequence sequence;
  Sequence commit;  // the highest sequence acknowledged when this was made
  SessionId session;
  RequestNumber request;
  std::int64_t wall_ns = 0;
  Hash128 chain{};  // the group's chain hash including this operation
  std::variant<EmptyBody, WriteBody, HoleBody, RecordBody, DropBody, PurgeBody, TermBody,
               SessionEndBody>
      body;
  bool operator==(const Operation&) const = default;

  const WriteBody* writes() const { return std::get_if<WriteBody>(&body); }
  // True when every extent has a place (always, for operations without extents).
  bool placed() const;
  SnapshotId snapshot_id() const { return {incarnation, epoch, sequence, chain}; }
};

// XXH3-128 over the chain before and the operation's logical content: everything but commit and
// places. Equal on all nodes.
Hash128 chain_hash(const Hash128& before, const Operation& operation);

// ---- Lane records ---------------------------------------------------------------------------

// An operation with the stored bytes of its extents (those without a place), in order.
struct OperationRecord {
  Operation operation;
  std::vector<Buffer> payload;
};
// An operation whose extents lie in a stripe of their own, already flushed.
struct DirectRecord {
  Operation operation;  // placed
  std::vector<StripeDescriptor> stripes;
};
// Destaging: the operations of a closed range of sequences, now placed, and the stripes they lie
// in.
struct PlacementRecord {
  GroupId group;
  std::vector<Operation> operations;  // ascending sequences, no gaps, all placed
  std::vector<StripeDescriptor> stripes;
};
// Cleaning: extents at a new place. Changes only mappings that still name that extent at that
// place.
struct MovedExtent {
  ExtentRef from;  // with the old place
  Place to;
  GroupId group;
  VolumeId volume;           // where to look for its mappings: present and histories,
  std::uint64_t offset = 0;  // the range it was written to
  bool operator==(const MovedExtent&) const = default;
};
struct MoveRecord {
  std::vector<MovedExtent> extents;
  std::vector<StripeDescriptor> stripes;
};
// Carries nothing but the batch's own header: a tail, a durable position.
struct EmptyRecord {};

using LaneRecord =
    std::variant<OperationRecord, DirectRecord, PlacementRecord, MoveRecord, EmptyRecord>;

// The record's bytes: a head, then (for OperationRecord) the payload buffers, shared, not copied.
BufferChain encode_record(const LaneRecord& record);
// Payload buffers are slices of `bytes`. Errors: kCorrupt; kUnsupported for an unknown type or
// version (refused, never skipped).
Result<LaneRecord> decode_record(const Buffer& bytes);

}  // namespace square::format
