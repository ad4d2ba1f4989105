#include "pool/layout.hpp"

#include <algorithm>

namespace square::pool {
namespace {

// A lane takes records of up to a quarter of its ring: one operation of 1 MiB must fit.
constexpr std::uint64_t kJournalBytesMin = 8ull << 20;

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint32_t kChunkUnit = 64u << 10;
constexpr std::uint32_t kChunkMin = 512u << 10, kChunkMax = 64u << 20;
constexpr std::uint32_t kChunksWanted = 96;  // small segments clean well, large ones seek less
constexpr std::uint32_t kChunksMin = 16;
constexpr std::uint32_t kStripBytesMax = 1u << 20;

std::uint32_t chosen_chunk_bytes(std::uint64_t space) {
  std::uint32_t chunk = kChunkMax;
  while (chunk > kChunkMin && space / chunk < kChunksWanted) chunk /= 2;
  return chunk;
}

Result<> check_widths(const FormatOptions& options) {
  if (options.k == 0 || options.k + options.m > format::kStripsMax)
    return Error{Code::kInvalid,
                 "k must be at least 1, and k + m at most " + std::to_string(format::kStripsMax)};
  if (options.chunk_bytes % kChunkUnit != 0 || options.chunk_bytes > kChunkMax)
    return Error{Code::kInvalid, "the chunk size must be a multiple of 64 KiB, at most 64 MiB"};
  if (options.journal_bytes % kMiB != 0)
    return Error{Code::kInvalid, "the journal size must be a multiple of 1 MiB"};
  return {};
}

}  // namespace

std::array<std::uint64_t, kLabelCopies> label_offsets(std::uint64_t disk_bytes) {
  const auto end = disk_bytes / kBlockBytes * kBlockBytes;
  return {0, kLabelAreaBytes / 2, end - kLabelAreaBytes, end - kLabelAreaBytes / 2};
}

std::uint64_t chunk_offset(const Geometry& geometry, SegmentId segment) {
  return kLabelAreaBytes + geometry.journal_bytes +
         std::uint64_t{segment.value} * geometry.chunk_bytes;
}

std::uint64_t disk_bytes_needed(const Geometry& geometry) {
  return chunk_offset(geometry, SegmentId(geometry.chunks)) + kLabelAreaBytes;
}

Result<Geometry> choose_geometry(std::uint64_t smallest_disk_bytes, const FormatOptions& options) {
  SQ_TRY(check_widths(options));
  Geometry geometry;
  geometry.k = options.k;
  geometry.m = options.m;
  geometry.journal_bytes = options.journal_bytes;
  if (geometry.journal_bytes == 0)
    geometry.journal_bytes =
        std::clamp(smallest_disk_bytes / 16 / kMiB * kMiB, kJournalBytesMin, 64 * kMiB);
  const auto overhead = 2 * kLabelAreaBytes + geometry.journal_bytes + kBlockBytes;
  const auto space = smallest_disk_bytes > overhead ? smallest_disk_bytes - overhead : 0;
  geometry.chunk_bytes = options.chunk_bytes != 0 ? options.chunk_bytes : chosen_chunk_bytes(space);
  const auto chunks = space / geometry.chunk_bytes;
  if (chunks < kChunksMin)
    return Error{Code::kInvalid, "the smallest disk has " + std::to_string(smallest_disk_bytes) +
                                     " bytes: room for " + std::to_string(chunks) + " chunks of " +
                                     std::to_string(geometry.chunk_bytes) + " bytes, at least " +
                                     std::to_string(kChunksMin) + " are needed"};
  geometry.chunks = static_cast<std::uint32_t>(std::min<std::uint64_t>(chunks, UINT32_MAX));
  return geometry;
}

std::uint32_t strip_blocks_max(const Geometry& geometry) {
  return std::min(geometry.chunk_bytes / 4, kStripBytesMax) / kBlockBytes;
}

}  // namespace square::pool
