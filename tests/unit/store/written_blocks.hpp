#pragma once
// Where on the disks something went: so that a test can spoil it.

#include <algorithm>

#include "pool/layout.hpp"
#include "unit/store/engine_rig.hpp"

namespace square::test {

struct WrittenBlock {
  std::size_t disk;
  sim::SimMedium* medium;
  std::uint64_t at;
};

// The blocks of the chunks that `change` wrote, on all disks.
template <class Change>
std::vector<WrittenBlock> blocks_written(EngineRig& rig, Change change) {
  const auto from = pool::journal_offset(rig.engine->pool().geometry().journal_bytes);
  const auto size = EngineRig::kDiskBytes - from - pool::kLabelAreaBytes;
  std::vector<ByteVector> before;
  for (const auto& path : rig.options.pool.paths)
    before.push_back(rig.process.disks().at(path).peek(from, size));
  change();
  std::vector<WrittenBlock> written;
  for (std::size_t i = 0; i < before.size(); ++i) {
    auto& medium = rig.process.disks().at(rig.options.pool.paths[i]);
    const auto after = medium.peek(from, size);
    for (std::uint64_t at = 0; at < size; at += kBlockBytes)
      if (!std::equal(&after[at], &after[at] + kBlockBytes, &before[i][at]))
        written.push_back({i, &medium, from + at});
  }
  return written;
}

}  // namespace square::test
