#pragma once
// The vocabulary that journal, pool, index and store share, with its bytes. Fixed-size values have
// put/get here; each durable container format has a header of its own beside this one and a page in
// docs/formats/.

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"
#include "base/extent.hpp"

namespace square::format {

// Sealing needs these too, and stands above this folder.
using square::Digest;
using square::ExtentId;
using square::ExtentRef;
using square::Generation;
using square::get;
using square::Hash128;
using square::kOperationBytesMax;
using square::Place;
using square::put;

// An extent as a stripe lists it: enough to find its mappings again, and to walk a stripe without
// the index.
struct StripeExtent {
  GroupId group;
  VolumeId volume;
  std::uint64_t offset = 0;  // where the extent was written to
  std::uint32_t plain_bytes = 0;
  std::uint32_t stored_bytes = 0;
  ExtentId id;
  std::uint32_t byte_offset = 0;  // inside the stripe's data
  bool operator==(const StripeExtent&) const = default;
};

// A stripe, from before its first strip is written until its segment is reused.
//
//   strip i of k + m lies on slot slots[i], chunk `segment`, blocks
//   [stripe_block, stripe_block + strip_blocks); strips 0..k-1 are data, the last m parity (P,
//   Q...). `slots` carries the rotation: it differs from stripe to stripe of one segment.
struct StripeDescriptor {
  SegmentId segment;
  Generation generation;
  std::uint32_t stripe_block = 0;
  std::uint16_t strip_blocks = 0;
  std::uint8_t k = 0, m = 0;
  std::vector<Slot> slots;               // k + m
  std::vector<std::uint64_t> checksums;  // k + m, XXH3-64 of each strip
  std::vector<StripeExtent> extents;     // by byte_offset; none in stripes of checkpoint files
  bool operator==(const StripeDescriptor&) const = default;
};

// What an address range maps to: a part of an extent, or an explicit hole with its sequence.
struct Mapping {
  bool hole = true;
  Sequence hole_sequence;           // for a hole
  ExtentRef extent;                 // else
  std::uint32_t extent_offset = 0;  // bytes into the extent's content
  bool operator==(const Mapping&) const = default;
};

// A snapshot's name everywhere: a sequence alone may name two different states after a fork.
struct SnapshotId {
  Incarnation incarnation;
  Epoch epoch;
  Sequence sequence;
  Hash128 chain{};
  auto operator<=>(const SnapshotId&) const = default;
};

// A checkpoint's id; the newest has the highest epoch first.
struct CheckpointId {
  std::uint32_t epoch = 0;
  std::uint64_t number = 0;
  auto operator<=>(const CheckpointId&) const = default;
};

// Where a diff begins.
struct DiffBase {
  SnapshotId snapshot;
  // The receiver's base has all rewrites up to here; later ones come as items.
  Sequence rewrites_from;
  bool operator==(const DiffBase&) const = default;
};

// What a landing has come with so far, when it is not one source that has the target from a diff.
inline constexpr Sequence kCameWithSeveral{~std::uint64_t{0}};

// Items of a diff in front of it have arrived: where another source goes on.
struct DiffCursor {
  VolumeId volume;
  std::uint64_t offset = 0;
  auto operator<=>(const DiffCursor&) const = default;
};

// Where a journal lane stands: the position, and the chain hash of the batch that ends there.
struct LanePoint {
  LanePosition position;
  Hash128 chain{};
  auto operator<=>(const LanePoint&) const = default;
};

inline constexpr std::uint8_t kStripsMax = 32;  // k + m

void put(Writer& out, const StripeExtent& extent);
void put(Writer& out, const StripeDescriptor& stripe);
void put(Writer& out, const Mapping& mapping);
void put(Writer& out, const SnapshotId& id);
void put(Writer& out, const CheckpointId& id);
void put(Writer& out, const LanePoint& point);
void put(Writer& out, const DiffBase& base);
void put(Writer& out, const DiffCursor& cursor);

// Each fails the reader on values that no encoder writes (too many strips, k == 0, lengths that are
// no multiple of 4 KiB where they must be).
void get(Reader& in, StripeExtent& extent);
void get(Reader& in, StripeDescriptor& stripe);
void get(Reader& in, Mapping& mapping);
void get(Reader& in, SnapshotId& id);
void get(Reader& in, CheckpointId& id);
void get(Reader& in, LanePoint& point);
void get(Reader& in, DiffBase& base);
void get(Reader& in, DiffCursor& cursor);

}  // namespace square::format
