#include "store/rewrite_core.hpp"

#include <algorithm>

namespace square::store {

std::vector<Run> visible_runs(const ExtentId& extent,
                              std::span<const std::vector<index::Piece>> layers) {
  std::vector<Run> runs;
  for (const auto& layer : layers)
    for (const auto& piece : layer)
      if (piece.mapping && !piece.mapping->hole && piece.mapping->extent.id == extent)
        runs.push_back({piece.offset, piece.length});
  std::ranges::sort(runs, {}, &Run::offset);
  std::vector<Run> joined;
  for (const auto& run : runs) {
    if (joined.empty() || joined.back().offset + joined.back().length < run.offset) {
      joined.push_back(run);
      continue;
    }
    auto& last = joined.back();
    last.length = std::max(last.offset + last.length, run.offset + run.length) - last.offset;
  }
  return joined;
}

namespace {

std::uint64_t visible_bytes(std::span<const Run> runs) {
  std::uint64_t visible = 0;
  for (const auto& run : runs) visible += run.length;
  return visible;
}

}  // namespace

bool little_is_visible(std::span<const Run> runs, std::uint32_t plain_bytes) {
  const auto visible = visible_bytes(runs);
  return visible > 0 && visible * 4 < plain_bytes;
}

bool some_is_hidden(std::span<const Run> runs, std::uint32_t plain_bytes) {
  const auto visible = visible_bytes(runs);
  return visible > 0 && visible * 4 <= std::uint64_t{plain_bytes} * 3;
}

Sequence newest(std::span<const index::Piece> layer) {
  Sequence found;
  for (const auto& piece : layer) {
    if (!piece.mapping) continue;
    found = std::max(found, piece.mapping->hole ? piece.mapping->hole_sequence
                                                : piece.mapping->extent.id.sequence);
  }
  return found;
}

}  // namespace square::store
