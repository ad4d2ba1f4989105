#include "index/state_tree.hpp"

namespace square::index {

using format::StateHash;

namespace {

void put_or_erase(std::map<std::uint64_t, StateHash>& level, std::uint64_t number,
                  const std::optional<StateHash>& hash) {
  if (hash)
    level[number] = *hash;
  else
    level.erase(number);
}

}  // namespace

void StateTree::set_leaf(VolumeId volume, std::uint64_t number,
                         const std::optional<StateHash>& hash) {
  auto& levels = volumes_[volume];
  const auto old = levels[0].find(number);
  if (old == levels[0].end() ? !hash : hash == old->second) return;
  put_or_erase(levels[0], number, hash);
  for (unsigned level = 1; level <= format::kTreeLevels; ++level) {
    const auto& below = levels[level - 1];
    const auto parent = number >> format::kNodeBits;
    const auto first = parent << format::kNodeBits;
    std::vector<std::pair<std::uint8_t, StateHash>> children;
    for (auto child = below.lower_bound(first);
         child != below.end() && child->first >> format::kNodeBits == parent; ++child)
      children.emplace_back(static_cast<std::uint8_t>(child->first - first), child->second);
    std::optional<StateHash> node;
    if (!children.empty()) node = format::state_hash(format::node_text(level, children));
    put_or_erase(levels[level], parent, node);
    number = parent;
  }
}

StateHash StateTree::top(VolumeId volume) const {
  const auto found = volumes_.find(volume);
  if (found == volumes_.end() || found->second.back().empty()) return {};
  return found->second.back().begin()->second;
}

}  // namespace square::index
