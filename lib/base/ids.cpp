#include "base/ids.hpp"

namespace square {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

bool dash_before(std::size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

}  // namespace

std::string Uuid::to_string() const {
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (dash_before(i)) out.push_back('-');
    out.push_back(kHex[bytes[i] >> 4]);
    out.push_back(kHex[bytes[i] & 15]);
  }
  return out;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  const Error bad{Code::kInvalid, "'" + std::string(text) + "' is not a uuid (8-4-4-4-12 hex)"};
  if (text.size() != 36) return bad;
  Uuid uuid;
  std::size_t at = 0;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (dash_before(i) && text[at++] != '-') return bad;
    const auto high = kHex.find(text[at++]);
    const auto low = kHex.find(text[at++]);
    if (high == kHex.npos || low == kHex.npos) return bad;
    uuid.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return uuid;
}

}  // namespace square
