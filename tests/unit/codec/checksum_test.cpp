#include "codec/checksum.hpp"

#include <catch2/catch.hpp>

#include "codec/xxh3.hpp"

using namespace square;
using namespace square::codec;

namespace {

ByteVector pattern(std::size_t size) {
  ByteVector bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 + (i >> 8));
  return bytes;
}

template <std::size_t N>
std::string hex(const std::array<std::byte, N>& bytes) {
  std::string text;
  for (const auto byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

}  // namespace

TEST_CASE("checksums are the published ones") {
  CHECK(checksum64(Bytes{}) == 0x2d06800538d394c2ull);
  CHECK(hex(checksum128(Bytes{})) == "99aa06d3014798d86001c324468d497f");
  CHECK(hex(sha256(as_bytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex(digest128(as_bytes("abc"))) == "ba7816bf8f01cfea414140de5dae2223");
}

TEST_CASE("a checksum over pieces is that of the whole, wherever it is cut") {
  for (const std::size_t size : {1u, 100u, 240u, 241u, 1024u, 4096u, 70000u}) {
    const auto bytes = pattern(size);
    const Bytes whole = bytes;
    for (const std::size_t cut : {std::size_t{0}, size / 3, size - 1, size}) {
      const std::vector<Bytes> pieces = {whole.first(cut), whole.subspan(cut)};
      INFO(size << " cut at " << cut);
      CHECK(checksum64(pieces) == checksum64(whole));
      CHECK(checksum128(pieces) == checksum128(whole));
    }
  }
  CHECK(checksum64(std::span<const Bytes>{}) == checksum64(Bytes{}));
}

TEST_CASE("every compiled variant of the checksum gives the same") {
  if (!__builtin_cpu_supports("avx2")) return;
  for (std::size_t size = 0; size < 3000; size += 37) {
    const auto bytes = pattern(size);
    const detail::Piece pieces[] = {{bytes.data(), size / 2},
                                    {bytes.data() + size / 2, size - size / 2}};
    const detail::Piece whole{bytes.data(), size};
    CHECK(detail::xxh3_any.hash64(&whole, 1) == detail::xxh3_avx2.hash64(&whole, 1));
    CHECK(detail::xxh3_any.hash64(pieces, 2) == detail::xxh3_avx2.hash64(pieces, 2));
    unsigned char any[16], avx2[16];
    detail::xxh3_any.hash128(pieces, 2, any);
    detail::xxh3_avx2.hash128(&whole, 1, avx2);
    CHECK(std::memcmp(any, avx2, 16) == 0);
  }
}
