#pragma once
// Strips as bytes: laid out, coded, checked. Pure, and safe on a helper thread.

#include "base/buffer.hpp"
#include "pool/pool.hpp"

namespace square::pool {

struct CodedStrips {
  Buffer data;    // k strips, one behind the other
  Buffer parity;  // m strips
  std::vector<std::uint64_t> checksums;

  Buffer strip(std::size_t i, std::uint8_t k, std::size_t strip_bytes) const {
    return i < k ? data.slice(i * strip_bytes, strip_bytes)
                 : parity.slice((i - k) * strip_bytes, strip_bytes);
  }
};

// `items[i]` goes to `offsets[i]` of the data; the rest is zeros.
CodedStrips code_strips(const std::vector<StripeItem>& items,
                        const std::vector<std::uint32_t>& offsets, std::uint8_t k, std::uint8_t m,
                        std::size_t strip_bytes);

// Recovers the wanted ones among the empty entries of `strips` (k + m of one size) from k others.
// At least k are there. They go to memory of their own, or where `into` has some for them.
void recover_strips(std::vector<Buffer>& strips, const std::vector<bool>& wanted, std::uint8_t k,
                    std::uint8_t m, std::size_t strip_bytes, const std::vector<Buffer>& into = {});

// What lasts longer than this belongs on a helper.
inline constexpr std::size_t kInlineBytes = 256u << 10;

}  // namespace square::pool
