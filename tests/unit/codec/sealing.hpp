#pragma once
// Content, keys and identities to seal with, fixed by a number.

#include <random>

#include "codec/checksum.hpp"
#include "codec/seal.hpp"

namespace square::test {

class SeededRandom : public env::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(MutableBytes out) override {
    for (auto& byte : out) byte = static_cast<std::byte>(engine_() >> 24);
  }

 private:
  std::mt19937_64 engine_;
};

inline ByteVector random_bytes(std::size_t size, std::uint64_t seed) {
  ByteVector bytes(size);
  SeededRandom(seed).fill(bytes);
  return bytes;
}

inline codec::SecretKey key_of(std::uint8_t fill) {
  std::array<std::byte, 32> bytes;
  bytes.fill(std::byte{fill});
  return codec::SecretKey(bytes);
}

inline codec::SealId seal_of(std::uint8_t fill) {
  codec::SealId id;
  id.fill(std::byte{fill});
  return id;
}

inline codec::ExtentIdentity identity_of(std::uint32_t plain_bytes) {
  codec::ExtentIdentity identity;
  identity.cell = 0xce11;
  identity.incarnation = Incarnation(0x1234);
  identity.container = VolumeId(5);
  identity.offset = 1u << 20;
  identity.plain_bytes = plain_bytes;
  identity.id = {3, Sequence(1001), 2};
  return identity;
}

inline std::vector<std::uint64_t> ingest_of(Bytes content) {
  std::vector<std::uint64_t> hashes;
  for (std::size_t at = 0; at < content.size(); at += kBlockBytes)
    hashes.push_back(codec::checksum64(content.subspan(at, kBlockBytes)));
  return hashes;
}

inline constexpr KeyId kSampleKey{42};

inline codec::SealedExtent seal_sample(codec::Sealer& sealer, Bytes content,
                                       std::uint8_t frame_shift) {
  return *sealer.seal(key_of(7), kSampleKey,
                      identity_of(static_cast<std::uint32_t>(content.size())), {{content}},
                      ingest_of(content), frame_shift);
}

}  // namespace square::test
