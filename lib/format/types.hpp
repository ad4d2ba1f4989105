#pragma once
// The vocabulary that journal, pool, index and store share, with its bytes. Fixed-size values have
// put/get here; each durable container format has a header of its own beside this one and a page in
// docs/formats/.

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace square::format {

using Digest = std::array<std::byte, 16>;  // SHA-256 of an extent's header (with tags), cut
using Hash128 = std::array<std::byte, 16>;  // XXH3-128: chain hashes

// Who wrote an extent, and when: unique for the life of a group incarnation.
struct ExtentId {
  std::uint32_t epoch = 0;
  Sequence sequence;
  std::uint16_t index = 0;
  auto operator<=>(const ExtentId&) const = default;
};

// One use of a segment. A use that was lost in a crash is never repeated: the epoch differs.
struct Generation {
  std::uint32_t epoch = 0;
  std::uint32_t counter = 0;
  auto operator<=>(const Generation&) const = default;
};

// Where stored bytes lie: `byte_offset` inside the data part of the stripe that starts at
// `stripe_block` of the segment's chunks. Enough, with the segment table, to read without a lookup.
struct Place {
  SegmentId segment;
  Generation generation;
  std::uint32_t stripe_block = 0;   // first block of the stripe in each chunk, in 4 KiB
  std::uint16_t strip_blocks = 0;   // size of each strip, in 4 KiB; 0: not placed
  std::uint32_t byte_offset = 0;
  auto operator<=>(const Place&) const = default;
  bool placed() const { return strip_blocks != 0; }
};

// An extent as a stripe lists it: enough to find its mappings again, and to walk a stripe without
// the index.
struct StripeExtent {
  GroupId group;
  VolumeId volume;
  std::uint64_t offset = 0;        // where the extent was written to
  std::uint32_t plain_bytes = 0;
  std::uint32_t stored_bytes = 0;
  ExtentId id;
  std::uint32_t byte_offset = 0;   // inside the stripe's data
  bool operator==(const StripeExtent&) const = default;
};

// A stripe, from before its first strip is written until its segment is reused.
//
//   strip i of k + m lies on slot slots[i], chunk `segment`, blocks
//   [stripe_block, stripe_block + strip_blocks); strips 0..k-1 are data, the last m parity (P, Q...).
//   `slots` carries the rotation: it differs from stripe to stripe of one segment.
struct StripeDescriptor {
  SegmentId segment;
  Generation generation;
  std::uint32_t stripe_block = 0;
  std::uint16_t strip_blocks = 0;
  std::uint8_t k = 0, m = 0;
  std::vector<Slot> slots;              // k + m
  std::vector<std::uint64_t> checksums;  // k + m, XXH3-64 of each strip
  std::vector<StripeExtent> extents;     // by byte_offset; none in stripes of checkpoint files
  bool operator==(const StripeDescriptor&) const = default;
};

// A stored extent as the log and the index know it: what to expect when reading its bytes.
struct ExtentRef {
  ExtentId id;
  std::uint32_t plain_bytes = 0;    // length of the content, a multiple of 4 KiB
  std::uint32_t stored_bytes = 0;   // header and ciphertext
  std::uint64_t checksum = 0;       // XXH3-64 of the stored bytes after their own checksum field
  Digest digest{};
  Place place;                      // unplaced while the bytes live in journal and write buffer
  bool operator==(const ExtentRef&) const = default;
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

// Where a journal lane stands: the position, and the chain hash of the batch that ends there.
struct LanePoint {
  LanePosition position;
  Hash128 chain{};
  auto operator<=>(const LanePoint&) const = default;
};

inline constexpr std::uint32_t kOperationBytesMax = 1u << 20;  // content of one operation
inline constexpr std::uint8_t kStripsMax = 32;                 // k + m

void put(Writer& out, const ExtentId& id);
void put(Writer& out, const Generation& generation);
void put(Writer& out, const Place& place);
void put(Writer& out, const StripeExtent& extent);
void put(Writer& out, const StripeDescriptor& stripe);
void put(Writer& out, const ExtentRef& extent);
void put(Writer& out, const Mapping& mapping);
void put(Writer& out, const SnapshotId& id);
void put(Writer& out, const CheckpointId& id);
void put(Writer& out, const LanePoint& point);
void put(Writer& out, const std::array<std::byte, 16>& hash);

// Each fails the reader on values that no encoder writes (too many strips, k == 0, lengths that are
// no multiple of 4 KiB where they must be).
void get(Reader& in, ExtentId& id);
void get(Reader& in, Generation& generation);
void get(Reader& in, Place& place);
void get(Reader& in, StripeExtent& extent);
void get(Reader& in, StripeDescriptor& stripe);
void get(Reader& in, ExtentRef& extent);
void get(Reader& in, Mapping& mapping);
void get(Reader& in, SnapshotId& id);
void get(Reader& in, CheckpointId& id);
void get(Reader& in, LanePoint& point);
void get(Reader& in, std::array<std::byte, 16>& hash);

}  // namespace square::format
