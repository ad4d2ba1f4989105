#pragma once
// Which extents are worth sealing anew: decisions only. An extent keeps all of its space while
// anything still shows a part of it, in the present or in a snapshot.

#include <span>
#include <vector>

#include "index/index.hpp"

namespace square::store {

struct Run {
  std::uint64_t offset = 0, length = 0;  // bytes of the volume
  bool operator==(const Run&) const = default;
};

// What the layers (the present, each snapshot) show of an extent: ascending, joined where it
// touches.
std::vector<Run> visible_runs(const ExtentId& extent,
                              std::span<const std::vector<index::Piece>> layers);

// Less than a quarter of it, but something.
bool little_is_visible(std::span<const Run> runs, std::uint32_t plain_bytes);
// At most three quarters, but something: worth it when the pool is short of room.
bool some_is_hidden(std::span<const Run> runs, std::uint32_t plain_bytes);

// The newest operation that a piece of it comes from.
Sequence newest(std::span<const index::Piece> layer);

}  // namespace square::store
