#include "bench/content.hpp"

#include <cstring>

#include "codec/checksum.hpp"

namespace square::bench {

namespace {

constexpr std::size_t kSlabs = 8;
constexpr std::size_t kSlabBytes = 1u << 20;

}  // namespace

Content::Content(std::uint64_t seed) : random_(seed) {
  for (std::size_t i = 0; i < kSlabs; ++i) {
    auto slab = Buffer::allocate(kSlabBytes);
    for (std::size_t at = 0; at < kSlabBytes; at += sizeof(std::uint64_t)) {
      const auto word = random_();
      std::memcpy(slab.data() + at, &word, sizeof word);
    }
    auto& hashes = hashes_.emplace_back();
    for (std::size_t at = 0; at < kSlabBytes; at += kBlockBytes)
      hashes.push_back(codec::checksum64(slab.bytes().subspan(at, kBlockBytes)));
    slabs_.push_back(std::move(slab));
  }
}

Content::Piece Content::draw(std::size_t size) {
  const auto slab = random_() % kSlabs;
  const auto blocks = size / kBlockBytes;
  const auto first = random_() % (kSlabBytes / kBlockBytes - blocks + 1);
  const auto hashes = hashes_[slab].begin() + static_cast<std::ptrdiff_t>(first);
  return {slabs_[slab].slice(first * kBlockBytes, size),
          {hashes, hashes + static_cast<std::ptrdiff_t>(blocks)}};
}

}  // namespace square::bench
