#include "codec/seal.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <map>

#include "codec/aead.hpp"
#include "codec/checksum.hpp"

namespace square::codec {
namespace {

constexpr std::uint64_t kFramesPerSeal = UINT32_MAX;  // 2^32 - 1
constexpr std::size_t kContextsMax = 64;

Error corrupt(std::string_view what) { return {Code::kCorrupt, "extent: " + std::string(what)}; }

// Ciphers keyed for recent (data key, seal) pairs: deriving and expanding a key costs more than
// sealing a block with it.
class KeyedCiphers {
 public:
  explicit KeyedCiphers(Aead::Direction direction) : direction_(direction) {}

  Aead& get(const SecretKey& data_key, KeyId key_id, const SealId& seal) {
    const std::pair name(key_id, seal);
    auto found = ciphers_.find(name);
    if (found == ciphers_.end()) {
      if (ciphers_.size() >= kContextsMax) drop_oldest();
      const auto key = derive_key(data_key.bytes(), seal, "square extent seal v1");
      found = ciphers_.emplace(name, Entry{Aead(key, direction_), 0}).first;
    }
    found->second.used = ++clock_;
    return found->second.cipher;
  }
  void forget(KeyId key_id) {
    std::erase_if(ciphers_, [&](const auto& entry) { return entry.first.first == key_id; });
  }

 private:
  struct Entry {
    Aead cipher;
    std::uint64_t used;
  };
  void drop_oldest() {
    ciphers_.erase(std::ranges::min_element(ciphers_, {},
                                            [](const auto& entry) { return entry.second.used; }));
  }

  Aead::Direction direction_;
  std::uint64_t clock_ = 0;
  std::map<std::pair<KeyId, SealId>, Entry> ciphers_;
};

// Scattered bytes, taken from the front.
class Scattered {
 public:
  explicit Scattered(std::span<const Bytes> pieces) : pieces_(pieces) {}

  // The next `size` bytes, in as many pieces as they lie in.
  const std::vector<Bytes>& take(std::size_t size) {
    taken_.clear();
    while (size > 0) {
      const auto rest = pieces_[piece_].subspan(at_);
      const auto part = rest.first(std::min(size, rest.size()));
      if (!part.empty()) taken_.push_back(part);
      size -= part.size();
      at_ += part.size();
      if (at_ == pieces_[piece_].size()) {
        ++piece_;
        at_ = 0;
      }
    }
    return taken_;
  }

 private:
  std::span<const Bytes> pieces_;
  std::size_t piece_ = 0, at_ = 0;
  std::vector<Bytes> taken_;
};

Nonce nonce_of(std::uint32_t counter) {
  Nonce nonce{};
  std::memcpy(nonce.data(), &counter, sizeof(counter));
  return nonce;
}

// The header's fields, authenticated with every frame, and the frame's number.
class Additional {
 public:
  explicit Additional(Bytes header) {
    std::copy_n(header.begin() + kExtentChecksumEnd, kFieldBytes, bytes_.begin());
  }
  Bytes of_frame(std::uint32_t frame) {
    std::memcpy(bytes_.data() + kFieldBytes, &frame, sizeof(frame));
    return bytes_;
  }

 private:
  static constexpr std::size_t kFieldBytes = kExtentFieldsEnd - kExtentChecksumEnd;
  std::array<std::byte, kFieldBytes + sizeof(std::uint32_t)> bytes_;
};

}  // namespace

// ---- sealing

class Sealer::Impl {
 public:
  Impl(SealId id, std::uint32_t reference)
      : id_(id), reference_(reference), ciphers_(Aead::Direction::kEncrypt) {}

  bool exhausted(std::uint32_t frames_more) const { return next_ + frames_more > kFramesPerSeal; }

  Result<SealedExtent> seal(const SecretKey& data_key, KeyId key_id, const ExtentIdentity& identity,
                            std::span<const Bytes> content, std::span<const std::uint64_t> ingest,
                            std::uint8_t frame_shift) {
    check_request(identity, content, ingest, frame_shift);
    SQ_TRY(check_ingest(content, ingest));

    ExtentHeader header;
    header.identity = identity;
    header.seal = reference_;
    header.frame_shift = frame_shift;
    header.stored_bytes = stored_size(identity.plain_bytes, frame_shift);
    header.tags.resize(frame_count(identity.plain_bytes, frame_shift));
    const auto frames = static_cast<std::uint32_t>(header.tags.size());
    SQ_CHECK(!exhausted(frames), "a seal's nonces have run out");
    header.first_counter = static_cast<std::uint32_t>(next_);
    next_ += frames;  // before the first use: a counter is never given out twice

    SealedExtent sealed;
    sealed.stored = Buffer::allocate(header.stored_bytes);
    ByteVector encoded;
    encode_extent_header(header, encoded);
    encrypt(ciphers_.get(data_key, key_id, id_), encoded, header, content, ingest, sealed.stored);
    encoded.clear();
    encode_extent_header(header, encoded);  // now with its tags
    std::ranges::copy(encoded, sealed.stored.data());

    const auto stored = sealed.stored.bytes();
    sealed.ref.id = identity.id;
    sealed.ref.plain_bytes = identity.plain_bytes;
    sealed.ref.stored_bytes = header.stored_bytes;
    sealed.ref.checksum = checksum64(stored.subspan(kExtentChecksumEnd));
    sealed.ref.digest = extent_digest(stored, header);
    std::memcpy(stored.data(), &sealed.ref.checksum, sizeof(sealed.ref.checksum));
    return sealed;
  }

 private:
  static void check_request(const ExtentIdentity& identity, std::span<const Bytes> content,
                            std::span<const std::uint64_t> ingest, std::uint8_t frame_shift) {
    std::size_t total = 0;
    for (const auto& piece : content) total += piece.size();
    SQ_CHECK(identity.plain_bytes > 0 && identity.plain_bytes <= kOperationBytesMax);
    SQ_CHECK(identity.plain_bytes % kBlockBytes == 0 && total == identity.plain_bytes);
    SQ_CHECK(ingest.size() == identity.plain_bytes / kBlockBytes);
    SQ_CHECK(frame_shift >= kFrameShiftMin && frame_shift <= kFrameShiftMax);
  }

  static Result<> check_ingest(std::span<const Bytes> content,
                               std::span<const std::uint64_t> ingest) {
    Scattered in(content);
    for (std::size_t block = 0; block < ingest.size(); ++block) {
      const auto& pieces = in.take(kBlockBytes);
      const auto hash = pieces.size() == 1 ? checksum64(pieces[0]) : checksum64(pieces);
      if (hash != ingest[block])
        return corrupt("block " + std::to_string(block) + " is not what the client hashed");
    }
    return {};
  }

  static void encrypt(Aead& cipher, Bytes encoded_header, ExtentHeader& header,
                      std::span<const Bytes> content, std::span<const std::uint64_t> ingest,
                      Buffer& stored) {
    Additional additional(encoded_header);
    Scattered in(content);
    const auto frame_blocks = (std::size_t{1} << header.frame_shift) / kBlockBytes;
    auto* out = stored.data() + encoded_header.size();
    for (std::uint32_t frame = 0; frame < header.tags.size(); ++frame) {
      const auto first = frame * frame_blocks;
      const auto hashes = ingest.subspan(first, std::min(frame_blocks, ingest.size() - first));
      cipher.begin(nonce_of(header.first_counter + frame), additional.of_frame(frame));
      cipher.add(std::as_bytes(hashes), out);
      out += hashes.size_bytes();
      for (const auto& piece : in.take(hashes.size() * kBlockBytes)) {
        cipher.add(piece, out);
        out += piece.size();
      }
      header.tags[frame] = cipher.finish_encryption();
    }
  }

  SealId id_;
  std::uint32_t reference_;
  std::uint64_t next_ = 0;
  KeyedCiphers ciphers_;
};

Sealer::Sealer(SealId id, std::uint32_t table_reference)
    : impl_(std::make_unique<Impl>(id, table_reference)) {}
Sealer::~Sealer() = default;

bool Sealer::exhausted(std::uint32_t frames_more) const { return impl_->exhausted(frames_more); }

Result<SealedExtent> Sealer::seal(const SecretKey& data_key, KeyId key_id,
                                  const ExtentIdentity& identity, std::span<const Bytes> content,
                                  std::span<const std::uint64_t> ingest, std::uint8_t frame_shift) {
  return impl_->seal(data_key, key_id, identity, content, ingest, frame_shift);
}

// ---- opening

class Opener::Impl {
 public:
  // One request: where in the content, and where to.
  struct Range {
    std::size_t begin;
    MutableBytes out;
    std::vector<std::uint64_t>* ingest;
    std::size_t end() const { return begin + out.size(); }
  };
  // What there is of the stored extent.
  struct Source {
    Bytes header, frames;
    std::size_t frames_begin;  // of the first byte of `frames` in the stored extent
    bool whole;                // both are all of it
  };

  // Nothing unauthenticated is left for a caller who forgets to ask.
  Result<> open(const SecretKey& data_key, KeyId key_id, const SealId& seal, const Source& source,
                const ExtentIdentity& expected, const Range& range) {
    auto opened = check_and_open(data_key, key_id, seal, source, expected, range);
    if (!opened.ok() && !range.out.empty()) OPENSSL_cleanse(range.out.data(), range.out.size());
    if (!opened.ok() && range.ingest != nullptr) range.ingest->clear();
    return opened;
  }

  KeyedCiphers ciphers{Aead::Direction::kDecrypt};

 private:
  Result<> check_and_open(const SecretKey& data_key, KeyId key_id, const SealId& seal,
                          const Source& source, const ExtentIdentity& expected,
                          const Range& range) {
    SQ_TRY(const auto header, decode_extent_header(source.header));
    const auto given = source.frames_begin + source.frames.size();
    if (given > header.stored_bytes || (source.whole && given != header.stored_bytes))
      return corrupt("stored length differs");
    if (header.identity != expected) return corrupt("identity differs");
    if (range.begin % kBlockBytes != 0 || range.out.size() % kBlockBytes != 0 ||
        range.end() > expected.plain_bytes)
      return Error{Code::kInvalid, "extent: range to open"};
    return open_frames(ciphers.get(data_key, key_id, seal), header, source, range);
  }

  Result<> open_frames(Aead& cipher, const ExtentHeader& header, const Source& source,
                       const Range& range) {
    Additional additional(source.header);
    const auto frame_bytes = std::size_t{1} << header.frame_shift;
    const auto frame_stored = frame_bytes + frame_bytes / kBlockBytes * kIngestBytes;
    const auto frames_begin = header_size(static_cast<std::uint32_t>(header.tags.size()));
    for (auto begin = range.begin / frame_bytes * frame_bytes; begin < range.end();
         begin += frame_bytes) {
      const auto frame = static_cast<std::uint32_t>(begin / frame_bytes);
      const auto size = std::min<std::size_t>(frame_bytes, header.identity.plain_bytes - begin);
      const auto sealed_size = size + size / kBlockBytes * kIngestBytes;
      const auto at = frames_begin + frame * frame_stored;
      if (at < source.frames_begin || at + sealed_size > source.frames_begin + source.frames.size())
        return Error{Code::kInvalid, "extent: frame " + std::to_string(frame) + " is not there"};
      const auto sealed = source.frames.subspan(at - source.frames_begin, sealed_size);
      cipher.begin(nonce_of(header.first_counter + frame), additional.of_frame(frame));
      if (!decrypt(cipher, sealed, begin, size, range, header.tags[frame]))
        return corrupt("frame " + std::to_string(frame) + " is not authentic");
      SQ_TRY(check_ingest(begin, size, range));
    }
    return {};
  }

  // Puts the wanted part of the frame where it belongs, and what is around it aside.
  bool decrypt(Aead& cipher, Bytes sealed, std::size_t begin, std::size_t size, const Range& range,
               const Tag& tag) {
    hashes_.resize(size / kBlockBytes);
    const auto hash_bytes = hashes_.size() * kIngestBytes;
    cipher.add(sealed.first(hash_bytes), std::as_writable_bytes(std::span(hashes_)).data());
    const auto content = sealed.subspan(hash_bytes);
    const auto from = std::max(range.begin, begin) - begin;
    const auto to = std::min(range.end(), begin + size) - begin;
    aside_.resize(std::max({aside_.size(), from, size - to}));
    cipher.add(content.first(from), aside_.data());
    cipher.add(content.subspan(from, to - from), range.out.data() + (begin + from - range.begin));
    cipher.add(content.subspan(to), aside_.data());
    const auto authentic = cipher.finish_decryption(tag);
    OPENSSL_cleanse(aside_.data(), std::max(from, size - to));
    return authentic;
  }

  Result<> check_ingest(std::size_t begin, std::size_t size, const Range& range) {
    const auto to = std::min(range.end(), begin + size);
    for (auto at = std::max(range.begin, begin); at < to; at += kBlockBytes) {
      const auto hash = hashes_[(at - begin) / kBlockBytes];
      if (checksum64(range.out.subspan(at - range.begin, kBlockBytes)) != hash)
        return corrupt("block at " + std::to_string(at) + " is not what the client hashed");
      if (range.ingest != nullptr) range.ingest->push_back(hash);
    }
    return {};
  }

  std::vector<std::uint64_t> hashes_;
  ByteVector aside_;
};

Opener::Opener() : impl_(std::make_unique<Impl>()) {}
Opener::~Opener() = default;

void Opener::forget(KeyId key_id) { impl_->ciphers.forget(key_id); }

Result<> Opener::open(const SecretKey& data_key, KeyId key_id, const SealId& seal, Bytes stored,
                      const ExtentIdentity& expected, std::uint32_t offset, MutableBytes out,
                      std::vector<std::uint64_t>* ingest) {
  return impl_->open(data_key, key_id, seal, {stored, stored, 0, true}, expected,
                     {offset, out, ingest});
}

Result<> Opener::open_part(const SecretKey& data_key, KeyId key_id, const SealId& seal,
                           Bytes header, Bytes frames, std::uint32_t frames_begin,
                           const ExtentIdentity& expected, std::uint32_t offset, MutableBytes out,
                           std::vector<std::uint64_t>* ingest) {
  return impl_->open(data_key, key_id, seal, {header, frames, frames_begin, false}, expected,
                     {offset, out, ingest});
}

}  // namespace square::codec
