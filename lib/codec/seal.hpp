#pragma once
// Sealing: content in, stored extent out, once. docs/formats/extent.md has the bytes.
//
//   stored extent = checksum | header with one tag per frame | frame 0 | frame 1 | ...
//   frame         = AES-256-GCM of [ XXH3-64 of each 4 KiB block | the blocks ]
//
// Key of a frame: HKDF-SHA256(data key, seal id). Nonce: a counter that a Sealer never repeats under
// its seal id. Additional data: the extent's identity, so that no sealed bytes can stand for another
// address, volume, group, cell or version.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "env/random.hpp"
#include "format/types.hpp"

namespace square::codec {

// Key bytes, wiped when destroyed and kept out of core dumps where the system can.
class SecretKey {
 public:
  SecretKey();
  explicit SecretKey(std::span<const std::byte, 32> bytes);
  SecretKey(SecretKey&&) noexcept;
  SecretKey& operator=(SecretKey&&) noexcept;
  ~SecretKey();
  static SecretKey generate(env::Random& random);
  std::span<const std::byte, 32> bytes() const;

 private:
  std::unique_ptr<std::array<std::byte, 32>> bytes_;
};

using SealId = std::array<std::byte, 32>;

enum class Cipher : std::uint8_t { kAes256Gcm = 1 };
enum class Compression : std::uint8_t { kNone = 0, kZstd = 1 };

// What an extent is: authenticated with its bytes, and compared when it is read.
struct ExtentIdentity {
  std::uint64_t cell = 0;      // first 8 bytes of the cell's uuid
  Incarnation incarnation;
  VolumeId container;
  ObjectId object;             // 0 for volumes
  std::uint64_t offset = 0;
  std::uint32_t plain_bytes = 0;
  format::ExtentId id;
  bool operator==(const ExtentIdentity&) const = default;
};

struct ExtentHeader {
  ExtentIdentity identity;
  std::uint32_t seal = 0;           // refers to the group's table of seal ids
  std::uint32_t first_counter = 0;  // nonce of frame 0; frame i has first_counter + i
  std::uint32_t stored_bytes = 0;   // of the whole stored extent
  Cipher cipher = Cipher::kAes256Gcm;
  Compression compression = Compression::kNone;
  std::uint8_t frame_shift = 14;    // content bytes of a frame: 1 << frame_shift
  std::vector<std::array<std::byte, 16>> tags;
};

// Errors: kCorrupt, kUnsupported (version, cipher). Does not look at the checksum.
Result<ExtentHeader> decode_extent_header(Bytes stored);
std::uint32_t stored_size(std::uint32_t plain_bytes, std::uint8_t frame_shift);
// Checks the stored bytes against what the log or index expects: length, checksum, identity, digest.
// Needs no key. Errors: kCorrupt, naming what differs.
Result<> verify_stored(Bytes stored, const format::ExtentRef& expected);

struct SealedExtent {
  Buffer stored;
  format::ExtentRef ref;  // unplaced
};

// The seal of one thread in one serving term: a fresh seal id, whose record must be in the group's
// log before any extent that uses it, and a counter. Not thread-safe. After 2^32 - 1 frames
// exhausted() is true, and another must be drawn.
class Sealer {
 public:
  Sealer(SealId id, std::uint32_t table_reference);
  ~Sealer();
  bool exhausted(std::uint32_t frames_more) const;
  // `content` in pieces that sum to identity.plain_bytes; `ingest` holds the client's XXH3-64 of each
  // 4 KiB block, checked here against the content. Errors: kCorrupt when one differs (the client's
  // bytes were damaged on the way; nothing was sealed).
  Result<SealedExtent> seal(const SecretKey& data_key, KeyId key_id,
                            const ExtentIdentity& identity, std::span<const Bytes> content,
                            std::span<const std::uint64_t> ingest, std::uint8_t frame_shift);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Opens frames. Keeps derived keys of recent (key, seal) pairs. Not thread-safe.
class Opener {
 public:
  Opener();
  ~Opener();
  // Opens the blocks of [offset, offset + size) of the content into `out`; only the frames needed.
  // `stored` is the whole stored extent. The ingest hash of every block returned is checked.
  // Errors: kCorrupt (tag, identity, ingest hash).
  Result<> open(const SecretKey& data_key, KeyId key_id, const SealId& seal, Bytes stored,
                const ExtentIdentity& expected, std::uint32_t offset, MutableBytes out,
                std::vector<std::uint64_t>* ingest = nullptr);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::codec
