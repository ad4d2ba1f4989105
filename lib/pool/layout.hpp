#pragma once
// Where things lie on a disk. Pure arithmetic.

#include <array>

#include "pool/pool.hpp"

namespace square::pool {

// Two label copies at the front, two at the end, so far from each other that no one careless write
// takes two of them.
inline constexpr std::size_t kLabelCopies = 4;
inline constexpr std::uint64_t kLabelAreaBytes = 64u << 10;  // front, and again at the end

std::array<std::uint64_t, kLabelCopies> label_offsets(std::uint64_t disk_bytes);

inline std::uint64_t journal_offset(std::uint64_t offset) { return kLabelAreaBytes + offset; }
std::uint64_t chunk_offset(const Geometry& geometry, SegmentId segment);
// What a disk must have at least.
std::uint64_t disk_bytes_needed(const Geometry& geometry);

// Errors: kInvalid, with the numbers.
Result<Geometry> choose_geometry(std::uint64_t smallest_disk_bytes, const FormatOptions& options);

// Blocks of one strip, at most, of the stripes that the pool itself recommends; a single write may
// ask for as much as a chunk.
std::uint32_t strip_blocks_max(const Geometry& geometry);

}  // namespace square::pool
