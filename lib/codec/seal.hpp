#pragma once
// Sealing: content in, stored extent out, once. docs/formats/extent.md has the bytes.
//
//   stored extent = checksum | header with one tag per frame | frame 0 | frame 1 | ...
//   frame         = AES-256-GCM of [ XXH3-64 of each 4 KiB block | the blocks ]
//
// Key of a frame: HKDF-SHA256(data key, seal id). Nonce: a counter that a Sealer never repeats
// under its seal id. Additional data: the extent's identity, so that no sealed bytes can stand for
// another address, volume, group, cell or version.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "codec/extent_header.hpp"
#include "codec/secret_key.hpp"
#include "env/random.hpp"

namespace square::codec {

using SealId = std::array<std::byte, 32>;

struct SealedExtent {
  Buffer stored;
  ExtentRef ref;  // unplaced
};

// The seal of one thread in one serving term: a fresh seal id, whose record must be in the group's
// log before any extent that uses it, and a counter. Not thread-safe. After 2^32 - 1 frames
// exhausted() is true, and another must be drawn.
class Sealer {
 public:
  Sealer(SealId id, std::uint32_t table_reference);
  ~Sealer();
  bool exhausted(std::uint32_t frames_more) const;
  // `content` in pieces that sum to identity.plain_bytes; `ingest` holds the client's XXH3-64 of
  // each 4 KiB block, checked here against the content. Errors: kCorrupt when one differs (the
  // client's bytes were damaged on the way; nothing was sealed).
  Result<SealedExtent> seal(const SecretKey& data_key, KeyId key_id, const ExtentIdentity& identity,
                            std::span<const Bytes> content, std::span<const std::uint64_t> ingest,
                            std::uint8_t frame_shift);

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
  // offset and size are whole blocks inside the content. On any error `out` is wiped.
  // Errors: kCorrupt (tag, identity, ingest hash), kUnsupported, kInvalid (the range).
  Result<> open(const SecretKey& data_key, KeyId key_id, const SealId& seal, Bytes stored,
                const ExtentIdentity& expected, std::uint32_t offset, MutableBytes out,
                std::vector<std::uint64_t>* ingest = nullptr);
  // The same from a part of the stored extent: `header` begins with its header, and `frames` are
  // its bytes from `frames_begin` on, with all frames that are needed. kInvalid also for too few.
  Result<> open_part(const SecretKey& data_key, KeyId key_id, const SealId& seal, Bytes header,
                     Bytes frames, std::uint32_t frames_begin, const ExtentIdentity& expected,
                     std::uint32_t offset, MutableBytes out,
                     std::vector<std::uint64_t>* ingest = nullptr);
  // Drops everything derived from that key: it was destroyed.
  void forget(KeyId key_id);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::codec
