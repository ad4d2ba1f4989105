#include "store/request_checks.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/extent.hpp"

namespace square::store {

namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::uint64_t kSectorBytes = 512;

bool name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

Result<> check_name(const std::string& name) {
  const bool ok = !name.empty() && name.size() <= kNameBytesMax &&
                  std::all_of(name.begin(), name.end(), name_character) &&
                  std::string_view(".-_").find(name.front()) == std::string_view::npos;
  if (ok) return {};
  return Error{Code::kInvalid, "'" + name +
                                   "' is not a name: use 1 to 128 letters, digits, '.', '_' and "
                                   "'-', beginning with a letter or digit"};
}

Result<> check_sizes(std::uint64_t size_bytes, std::uint32_t extent_bytes) {
  if (size_bytes == 0 || size_bytes % kBlockBytes != 0 || size_bytes > kVolumeBytesMax)
    return Error{Code::kInvalid, "a volume's size is a multiple of 4 KiB, up to 256 TiB"};
  if (extent_bytes < kBlockBytes || extent_bytes > kOperationBytesMax ||
      (extent_bytes & (extent_bytes - 1)) != 0)
    return Error{Code::kInvalid, "an extent size is a power of two from 4 KiB to 1 MiB"};
  return {};
}

Result<> check_range_within(std::uint64_t size_bytes, std::uint64_t offset, std::uint64_t length) {
  if (offset % kSectorBytes != 0 || length % kSectorBytes != 0 || length == 0)
    return Error{Code::kInvalid, "offset and length must be multiples of 512, and length not 0"};
  if (offset > size_bytes || length > size_bytes - offset)
    return Error{Code::kInvalid, "the request ends at byte " + std::to_string(offset + length) +
                                     ", behind the end of the volume at " +
                                     std::to_string(size_bytes)};
  return {};
}

std::string shown_name(VolumeId id, const std::optional<std::string>& name) {
  return name ? *name : "?" + std::to_string(id.value);
}

}  // namespace square::store
