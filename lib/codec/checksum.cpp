#include "codec/checksum.hpp"

#include <openssl/evp.h>

#include <algorithm>

#include "codec/xxh3.hpp"

namespace square::codec {
namespace {

const detail::Xxh3& xxh3() {
  static const auto& chosen = __builtin_cpu_supports("avx2") ? detail::xxh3_avx2 : detail::xxh3_any;
  return chosen;
}

std::vector<detail::Piece> pieces_of(std::span<const Bytes> pieces) {
  std::vector<detail::Piece> out;
  out.reserve(pieces.size());
  for (const auto& piece : pieces) out.push_back({piece.data(), piece.size()});
  return out;
}

std::array<std::byte, 16> hash128(std::span<const detail::Piece> pieces) {
  std::array<std::byte, 16> out;
  xxh3().hash128(pieces.data(), pieces.size(), reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

}  // namespace

std::uint64_t checksum64(Bytes bytes) {
  const detail::Piece piece{bytes.data(), bytes.size()};
  return xxh3().hash64(&piece, 1);
}

std::array<std::byte, 16> checksum128(Bytes bytes) {
  const detail::Piece piece{bytes.data(), bytes.size()};
  return hash128({&piece, 1});
}

std::uint64_t checksum64(std::span<const Bytes> pieces) {
  const auto list = pieces_of(pieces);
  return xxh3().hash64(list.data(), list.size());
}

std::array<std::byte, 16> checksum128(std::span<const Bytes> pieces) {
  return hash128(pieces_of(pieces));
}

std::array<std::byte, 32> sha256(Bytes bytes) {
  // Fetched once: a fetch for each call takes a lock and costs more than hashing a header.
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  SQ_CHECK(algorithm != nullptr, "no SHA-256 in libcrypto");
  std::array<std::byte, 32> out;
  const auto done =
      EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
                 algorithm, nullptr);
  SQ_CHECK(done == 1, "SHA-256 failed");
  return out;
}

std::array<std::byte, 16> digest128(Bytes bytes) {
  const auto whole = sha256(bytes);
  std::array<std::byte, 16> out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

}  // namespace square::codec
