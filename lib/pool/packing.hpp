#pragma once
// How the items of one stripe lie in its k data strips. Pure.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace square::pool {

struct Packing {
  std::uint32_t strip_blocks = 0;
  std::vector<std::uint32_t> offsets;  // of each item, in the stripe's data; ascending
};

// The smallest strips that take the items in their order, each that fits in a strip lying in one
// strip. Nothing when they exceed `strip_blocks_max`. Items are not empty.
std::optional<Packing> pack(std::span<const std::uint32_t> item_bytes, std::uint8_t k,
                            std::uint32_t strip_blocks_max);

}  // namespace square::pool
