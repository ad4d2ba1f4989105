#pragma once
// k data strips and m parity strips: any k of them give all back. m <= 2 uses P + Q (ISA-L's
// pq_gen for encoding), m > 2 a Cauchy matrix. Strips are 32-byte aligned, all of one size.

#include <span>
#include <vector>

#include "base/bytes.hpp"

namespace square::codec {

class Erasure {
 public:
  // 1 <= k, 0 <= m, k + m <= 32.
  Erasure(std::uint8_t k, std::uint8_t m);
  std::uint8_t k() const { return k_; }
  std::uint8_t m() const { return m_; }

  // data: k strips; parity: m strips, overwritten.
  void encode(std::span<const std::byte* const> data, std::span<std::byte* const> parity,
              std::size_t strip_bytes) const;

  // One of these that this thread keeps.
  static const Erasure& of(std::uint8_t k, std::uint8_t m);

  // `have[i]` names the strip (0..k+m-1) whose bytes are in `from[i]`, exactly k of them,
  // ascending; `want[j]`, ascending too, is rebuilt into `to[j]`: at most m of them, none in
  // `have`.
  void recover(std::span<const std::uint8_t> have, std::span<const std::byte* const> from,
               std::span<const std::uint8_t> want, std::span<std::byte* const> to,
               std::size_t strip_bytes) const;

 private:
  const std::vector<unsigned char>& recovery_tables(std::span<const std::uint8_t> have,
                                                    std::span<const std::uint8_t> want) const;
  std::vector<unsigned char> make_recovery_tables(std::span<const std::uint8_t> have,
                                                  std::span<const std::uint8_t> want) const;

  std::uint8_t k_, m_;
  std::vector<unsigned char> matrix_;         // (k + m) x k
  std::vector<unsigned char> encode_tables_;  // 32 * k * m, for ec_encode_data
};

}  // namespace square::codec
