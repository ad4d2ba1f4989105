#include "pool/packing.hpp"

#include <catch2/catch.hpp>
#include <numeric>

#include "base/bytes.hpp"
#include "sim/env/sim_rng.hpp"

using namespace square;
using square::pool::pack;

namespace {

bool fits(const std::vector<std::uint32_t>& sizes, const pool::Packing& packing, std::uint8_t k) {
  const std::uint64_t strip = std::uint64_t{packing.strip_blocks} * kBlockBytes;
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::uint64_t from = packing.offsets[i], to = from + sizes[i];
    if (from < end || to > strip * k) return false;
    if (sizes[i] <= strip && from / strip != (to - 1) / strip) return false;
    end = to;
  }
  return true;
}

}  // namespace

TEST_CASE(
    "packed items keep their order, do not overlap, and straddle no strip that could hold them") {
  sim::Rng rng(11);
  for (int round = 0; round < 3000; ++round) {
    const auto k = static_cast<std::uint8_t>(rng.between(1, 10));
    std::vector<std::uint32_t> sizes;
    for (auto n = rng.between(1, 30); n > 0; --n)
      sizes.push_back(
          static_cast<std::uint32_t>(rng.between(1, rng.chance_ppm(300'000) ? 300'000 : 9'000)));
    const auto packing = pack(sizes, k, 1u << 14);
    REQUIRE(packing.has_value());
    REQUIRE(fits(sizes, *packing, k));
    // The smallest that packs: one block less per strip does not.
    if (packing->strip_blocks > 1) REQUIRE_FALSE(pack(sizes, k, packing->strip_blocks - 1));
  }
}

TEST_CASE("what exceeds the largest strips is not packed, and nothing is not packed either") {
  const std::vector<std::uint32_t> sizes{4096, 4096, 4097};
  CHECK_FALSE(pack(sizes, 3, 1));
  CHECK(pack(sizes, 3, 2));
  CHECK_FALSE(pack({}, 3, 2));
}

TEST_CASE("an item larger than a strip runs on into the next") {
  const std::vector<std::uint32_t> sizes{10'000};
  const auto packing = pack(sizes, 4, 16);
  REQUIRE(packing);
  CHECK(packing->strip_blocks == 1);
  CHECK(packing->offsets == std::vector<std::uint32_t>{0});
}
