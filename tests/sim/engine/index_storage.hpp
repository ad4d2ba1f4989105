#pragma once
// The working copy of the index on a simulated node, and what a crash leaves of it: one of the
// states that were flushed, all families of the same moment, or nothing.

#include <memory>

#include "index/kv.hpp"

namespace square::sim {

class IndexStorage {
 public:
  virtual ~IndexStorage() = default;
  virtual index::KvFactory& factory() = 0;
  // Flushed states that a crash may fall back to, the oldest first.
  virtual std::size_t states() const = 0;
  // Keeps the first `count` of them; the last of these is what the next start finds. 0: nothing is
  // left. The Kv must be gone.
  virtual void crash(std::size_t count) = 0;
};

// The ordered map: deterministic and quick.
std::unique_ptr<IndexStorage> map_index();
// RocksDB with its files in memory, flushed only when asked.
std::unique_ptr<IndexStorage> rocks_index();

}  // namespace square::sim
