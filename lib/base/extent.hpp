#pragma once
// An extent's name, place and expected bytes: what sealing, log, index and pool all speak of.
// docs/formats/types.md.

#include <array>
#include <cstdint>

#include "base/bytes.hpp"

namespace square {

using Digest = std::array<std::byte, 16>;   // SHA-256 of an extent's header (with tags), cut
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
  std::uint32_t stripe_block = 0;  // first block of the stripe in each chunk, in 4 KiB
  std::uint16_t strip_blocks = 0;  // size of each strip, in 4 KiB; 0: not placed
  std::uint32_t byte_offset = 0;
  auto operator<=>(const Place&) const = default;
  bool placed() const { return strip_blocks != 0; }
};

// A stored extent as the log and the index know it: what to expect when reading its bytes.
struct ExtentRef {
  ExtentId id;
  std::uint32_t plain_bytes = 0;   // length of the content, a multiple of 4 KiB
  std::uint32_t stored_bytes = 0;  // header and ciphertext
  std::uint64_t checksum = 0;      // XXH3-64 of the stored bytes after their own checksum field
  Digest digest{};
  Place place;  // unplaced while the bytes live in journal and write buffer
  bool operator==(const ExtentRef&) const = default;
};

inline constexpr std::uint32_t kOperationBytesMax = 1u << 20;  // content of one operation

void put(Writer& out, const ExtentId& id);
void put(Writer& out, const Generation& generation);
void put(Writer& out, const Place& place);
void put(Writer& out, const ExtentRef& extent);
void put(Writer& out, const std::array<std::byte, 16>& hash);

// Each fails the reader on values that no encoder writes (a length that is not whole blocks).
void get(Reader& in, ExtentId& id);
void get(Reader& in, Generation& generation);
void get(Reader& in, Place& place);
void get(Reader& in, ExtentRef& extent);
void get(Reader& in, std::array<std::byte, 16>& hash);

}  // namespace square
