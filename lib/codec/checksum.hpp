#pragma once

#include "base/bytes.hpp"

namespace square::codec {

// XXH3-64 and XXH3-128 (seed 0), dispatched to the machine's vector unit at run time.
std::uint64_t checksum64(Bytes bytes);
std::array<std::byte, 16> checksum128(Bytes bytes);
// The same over pieces, as if they were one run of bytes.
std::uint64_t checksum64(std::span<const Bytes> pieces);
std::array<std::byte, 16> checksum128(std::span<const Bytes> pieces);
// SHA-256, cut to its first 16 bytes: an extent's digest.
std::array<std::byte, 16> digest128(Bytes bytes);
// The whole SHA-256.
std::array<std::byte, 32> sha256(Bytes bytes);

}  // namespace square::codec
