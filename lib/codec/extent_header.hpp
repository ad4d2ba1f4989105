#pragma once
// The header of a stored extent: what it is, how it was sealed, and its frames' tags.
// docs/formats/extent.md has the bytes.

#include <array>
#include <vector>

#include "base/bytes.hpp"
#include "base/extent.hpp"

namespace square::codec {

enum class Cipher : std::uint8_t { kAes256Gcm = 1 };
enum class Compression : std::uint8_t { kNone = 0, kZstd = 1 };

// What an extent is: authenticated with its bytes, and compared when it is read.
struct ExtentIdentity {
  std::uint64_t cell = 0;  // first 8 bytes of the cell's uuid
  Incarnation incarnation;
  VolumeId container;
  ObjectId object;  // 0 for volumes
  std::uint64_t offset = 0;
  std::uint32_t plain_bytes = 0;
  ExtentId id;
  bool operator==(const ExtentIdentity&) const = default;
};

struct ExtentHeader {
  ExtentIdentity identity;
  std::uint32_t seal = 0;           // refers to the group's table of seal ids
  std::uint32_t first_counter = 0;  // nonce of frame 0; frame i has first_counter + i
  std::uint32_t stored_bytes = 0;   // of the whole stored extent
  Cipher cipher = Cipher::kAes256Gcm;
  Compression compression = Compression::kNone;
  std::uint8_t frame_shift = 14;  // content bytes of a frame: 1 << frame_shift
  std::vector<std::array<std::byte, 16>> tags;
};

inline constexpr std::size_t kExtentChecksumEnd = 8;  // the checksum covers all bytes behind it
inline constexpr std::size_t kExtentFieldsEnd = 84;   // the frames' tags follow
inline constexpr std::size_t kIngestBytes = 8;        // of a block's ingest hash, inside its frame
inline constexpr std::uint8_t kFrameShiftMin = 12, kFrameShiftMax = 20;

// Appends the header to `out`, which is empty; the checksum in front is left 0.
void encode_extent_header(const ExtentHeader& header, ByteVector& out);
// Errors: kCorrupt, kUnsupported (version, cipher, compression). Does not look at the checksum.
Result<ExtentHeader> decode_extent_header(Bytes stored);
std::uint32_t frame_count(std::uint32_t plain_bytes, std::uint8_t frame_shift);
// Of a header with so many frames.
std::uint32_t header_size(std::uint32_t frames);
std::uint32_t stored_size(std::uint32_t plain_bytes, std::uint8_t frame_shift);
// SHA-256 of the header behind its checksum, tags included, cut: the tags bind the content.
Digest extent_digest(Bytes stored, const ExtentHeader& header);
// The bytes of a stored extent that open a part of its content: its header, and the frames that
// hold the part.
struct StoredPart {
  std::uint32_t header_bytes = 0;
  std::uint32_t frames_begin = 0, frames_end = 0;
};
// `offset` and `size` lie inside the content; size is not 0.
StoredPart part_of(std::uint32_t plain_bytes, std::uint8_t frame_shift, std::uint32_t offset,
                   std::uint32_t size);
// Checks a header by itself against what the index expects: lengths, identity, digest. Its tags
// then prove each frame. Needs no key. Errors: kCorrupt, naming what differs; kUnsupported.
Result<ExtentHeader> verify_header(Bytes header, const ExtentRef& expected);
// Checks the stored bytes against what the log or index expects: length, checksum, identity,
// digest. Needs no key. Errors: kCorrupt, naming what differs.
Result<> verify_stored(Bytes stored, const ExtentRef& expected);

}  // namespace square::codec
