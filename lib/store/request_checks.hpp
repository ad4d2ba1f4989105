#pragma once
// What a request may ask for: names, sizes, ranges.

#include <optional>
#include <string>

#include "base/ids.hpp"
#include "base/result.hpp"

namespace square::store {

// [a-zA-Z0-9][a-zA-Z0-9._-]{0,127}. Errors: kInvalid, with what a name may be.
Result<> check_name(const std::string& name);

inline constexpr std::uint64_t kVolumeBytesMax = 256ull << 40;

// Of a volume. Errors: kInvalid.
Result<> check_sizes(std::uint64_t size_bytes, std::uint32_t extent_bytes);

// Whole sectors of 512 bytes, at least one, inside `size_bytes`. Errors: kInvalid.
Result<> check_range_within(std::uint64_t size_bytes, std::uint64_t offset, std::uint64_t length);

// What people see: the name, or "?" and the id when the key that it is sealed with is not here. No
// name begins so.
std::string shown_name(VolumeId id, const std::optional<std::string>& name);

}  // namespace square::store
