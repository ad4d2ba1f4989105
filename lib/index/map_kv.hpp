#pragma once
// The ordered map of the simulation: deterministic, no threads, no files. States share what they
// have in common, so a flush costs nothing and a write after it copies a few hundred entries.

#include <vector>

#include "index/kv.hpp"

namespace square::index {

struct MapTable;  // one family: sorted chunks, shared until written

// What survives the process: the states that were flushed, the oldest first. Outlives every Kv on
// it.
class MapKvStorage {
 public:
  MapKvStorage();
  ~MapKvStorage();
  MapKvStorage(const MapKvStorage&) = delete;

  // Flushed states that a crash may fall back to. The oldest ones beyond kStatesMax are forgotten.
  std::size_t states() const { return states_.size(); }
  // The crash: keeps the first `count` of them and shows the last of these; 0: nothing is left. The
  // Kv must be gone.
  void crash(std::size_t count);

  static constexpr std::size_t kStatesMax = 32;

 private:
  friend class MapKv;
  friend class MapKvFactory;
  friend class MapImport;
  using State = std::array<std::shared_ptr<const MapTable>, kFamilies>;
  std::vector<State> states_;
};

class MapKvFactory : public KvFactory {
 public:
  explicit MapKvFactory(MapKvStorage& storage) : storage_(storage) {}
  Result<std::unique_ptr<Kv>> open_local() override;
  Result<std::unique_ptr<Kv>> create_empty() override;
  Result<std::unique_ptr<Import>> import_files() override;

 private:
  MapKvStorage& storage_;
};

}  // namespace square::index
