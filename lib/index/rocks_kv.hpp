#pragma once
// The index's working copy on RocksDB: no log of its own, all families flushed atomically, memory
// within a budget. The folder belongs to it alone.

#include <memory>
#include <string>

#include "index/kv.hpp"

namespace square::index {

struct RocksOptions {
  std::uint64_t block_cache_bytes = 32u << 20;  // data, index and filter blocks
  std::uint64_t memtable_bytes = 16u << 20;     // of all families together
  int open_files = 128;
  // Files live in memory, as long as the factory; nothing is flushed unless flush() says so. For
  // the simulation: dropping the Kv is the crash.
  bool in_memory = false;
};

class RocksKvFactory : public KvFactory {
 public:
  explicit RocksKvFactory(std::string folder, RocksOptions options = {});
  ~RocksKvFactory() override;  // after every Kv and KvExport

  Result<std::unique_ptr<Kv>> open_local() override;
  Result<std::unique_ptr<Kv>> create_empty() override;
  Result<std::unique_ptr<Import>> import_files() override;

  struct Shared;

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace square::index
