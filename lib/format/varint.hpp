#pragma once
// LEB128: seven bits a byte, the lowest first, the top bit on all but the last. One encoding for
// each value: a reader refuses trailing zero bytes and more than 64 bits.

#include "base/bytes.hpp"

namespace square::format {

inline void put_varint(Writer& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.put(static_cast<std::uint8_t>(value | 0x80));
  out.put(static_cast<std::uint8_t>(value));
}

// Fails the reader when the value exceeds `max`.
inline std::uint64_t get_varint(Reader& in, std::uint64_t max = ~std::uint64_t{0}) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = in.get<std::uint8_t>();
    if (!in.ok()) return 0;
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte & 0x80) continue;
    if ((byte == 0 && shift != 0) || value > max) break;
    return value;
  }
  in.fail();
  return 0;
}

// Small for small numbers of either sign.
constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

}  // namespace square::format
