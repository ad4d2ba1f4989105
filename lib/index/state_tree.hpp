#pragma once
// The hash trees of a group's volumes, in memory: about 90 bytes for each MiB that anything is
// mapped in. A change of a leaf changes the nodes above it and nothing else.

#include <array>
#include <map>
#include <optional>
#include <set>

#include "format/state_root.hpp"
#include "index/index.hpp"

namespace square::index {

class StateTree {
 public:
  // Leaf `number` covers [number, number + 1) x 1 MiB of the volume; nothing: nothing is mapped.
  void set_leaf(VolumeId volume, std::uint64_t number,
                const std::optional<format::StateHash>& hash);
  // Of the top node; zeros when the volume has no leaves.
  format::StateHash top(VolumeId volume) const;
  void forget(VolumeId volume) { volumes_.erase(volume); }

 private:
  using Level = std::map<std::uint64_t, format::StateHash>;
  using Volume = std::array<Level, format::kTreeLevels + 1>;  // leaves first
  std::map<VolumeId, Volume> volumes_;
};

// The tree of one group, as it is brought from snapshot to snapshot. Every leaf is as of some
// snapshot from `since` on and up to `until`; those below `cursor` are as of `until`.
struct StateRoots {
  struct Leaf {
    VolumeId volume;
    std::uint64_t number = 0;
    auto operator<=>(const Leaf&) const = default;
  };
  StateTree tree;
  Sequence since, until;
  Index::Cursor cursor;
  bool swept = false;    // the cursor is at the end
  std::set<Leaf> stale;  // rewritten after they were computed, perhaps
  bool empty() const { return until == Sequence(); }
};

}  // namespace square::index
