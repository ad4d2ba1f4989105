#include "pool/strip_codec.hpp"

#include <cstring>

#include "codec/checksum.hpp"
#include "codec/erasure.hpp"

namespace square::pool {
namespace {

void lay_out(const std::vector<StripeItem>& items, const std::vector<std::uint32_t>& offsets,
             Buffer& data) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::memset(data.data() + at, 0, offsets[i] - at);
    at = offsets[i];
    for (const auto& piece : items[i].bytes) {
      std::memcpy(data.data() + at, piece.data(), piece.size());
      at += piece.size();
    }
  }
  std::memset(data.data() + at, 0, data.size() - at);
}

}  // namespace

CodedStrips code_strips(const std::vector<StripeItem>& items,
                        const std::vector<std::uint32_t>& offsets, std::uint8_t k, std::uint8_t m,
                        std::size_t strip_bytes) {
  CodedStrips out;
  out.data = Buffer::allocate(k * strip_bytes);
  lay_out(items, offsets, out.data);
  if (m > 0) out.parity = Buffer::allocate(m * strip_bytes);
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  for (std::size_t i = 0; i < k; ++i) from.push_back(out.data.data() + i * strip_bytes);
  for (std::size_t i = 0; i < m; ++i) to.push_back(out.parity.data() + i * strip_bytes);
  if (m > 0) codec::Erasure::of(k, m).encode(from, to, strip_bytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(k) + m; ++i)
    out.checksums.push_back(codec::checksum64(std::as_const(out).strip(i, k, strip_bytes).bytes()));
  return out;
}

void recover_strips(std::vector<Buffer>& strips, const std::vector<bool>& wanted, std::uint8_t k,
                    std::uint8_t m, std::size_t strip_bytes, const std::vector<Buffer>& into) {
  std::vector<std::uint8_t> have, want;
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  for (std::size_t i = 0; i < strips.size(); ++i) {
    if (strips[i].empty()) {
      if (!wanted[i]) continue;
      const bool placed = i < into.size() && !into[i].empty();
      strips[i] = placed ? into[i] : Buffer::allocate(strip_bytes);
      want.push_back(static_cast<std::uint8_t>(i));
      to.push_back(strips[i].data());
    } else if (have.size() < k) {
      have.push_back(static_cast<std::uint8_t>(i));
      from.push_back(strips[i].data());
    }
  }
  SQ_CHECK(have.size() == k, "recovery needs k strips");
  if (!want.empty()) codec::Erasure::of(k, m).recover(have, from, want, to, strip_bytes);
}

}  // namespace square::pool
