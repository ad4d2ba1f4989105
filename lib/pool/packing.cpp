#include "pool/packing.hpp"

#include <numeric>

#include "base/bytes.hpp"

namespace square::pool {
namespace {

bool pack_into(std::span<const std::uint32_t> item_bytes, std::uint64_t strip_bytes,
               std::uint64_t stripe_bytes, std::vector<std::uint32_t>& offsets) {
  offsets.clear();
  std::uint64_t at = 0;
  for (const std::uint64_t size : item_bytes) {
    const auto left = strip_bytes - at % strip_bytes;
    if (size <= strip_bytes && size > left) at += left;
    if (at + size > stripe_bytes) return false;
    offsets.push_back(static_cast<std::uint32_t>(at));
    at += size;
  }
  return true;
}

}  // namespace

std::optional<Packing> pack(std::span<const std::uint32_t> item_bytes, std::uint8_t k,
                            std::uint32_t strip_blocks_max) {
  const auto total = std::accumulate(item_bytes.begin(), item_bytes.end(), std::uint64_t{0});
  const auto least =
      align_up(total, std::uint64_t{k} * kBlockBytes) / (std::uint64_t{k} * kBlockBytes);
  Packing packing;
  packing.offsets.reserve(item_bytes.size());
  for (auto blocks = least; total > 0 && blocks <= strip_blocks_max; ++blocks) {
    const auto strip_bytes = blocks * kBlockBytes;
    if (!pack_into(item_bytes, strip_bytes, strip_bytes * k, packing.offsets)) continue;
    packing.strip_blocks = static_cast<std::uint32_t>(blocks);
    return packing;
  }
  return std::nullopt;
}

}  // namespace square::pool
