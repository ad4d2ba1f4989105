// State roots of snapshots: the tree is brought from the last snapshot to the next by the leaves
// that the histories between them name, and those that a rewrite touched.

#include <algorithm>

#include "format/store_records.hpp"
#include "index/index_impl.hpp"

namespace square::index {

using format::kLeafBytes;
using format::StateHash;

namespace {

constexpr std::size_t kChangesAtOnce = 64;

std::vector<format::LeafPiece> joined(const std::vector<Piece>& pieces) {
  std::vector<format::LeafPiece> leaf;
  for (const auto& piece : pieces) {
    if (!piece.mapping || piece.mapping->hole) continue;
    const auto& extent = piece.mapping->extent;
    const auto extent_offset = piece.mapping->extent_offset;
    if (!leaf.empty()) {
      auto& last = leaf.back();
      if (last.offset + last.length == piece.offset && last.id == extent.id &&
          last.extent_offset + last.length == extent_offset) {
        last.length += piece.length;
        continue;
      }
    }
    leaf.push_back({piece.offset, piece.length, extent.id, extent_offset, extent.digest});
  }
  return leaf;
}

// The newest snapshot that is held and not later than `since`. The histories from there on name
// all that changed after `since`, and what changed before it too, if it was dropped.
std::optional<Sequence> base_of(const GroupState& group, Sequence since) {
  std::optional<Sequence> base;
  for (const auto& snapshot : group.snapshots)
    if (!snapshot.hidden && snapshot.id.sequence <= since) base = snapshot.id.sequence;
  return base;
}

Result<StateHash> root_of(const Index& index, GroupId group, std::optional<Sequence> at,
                          const StateTree& tree) {
  SQ_TRY(auto records, index.records(group, "", at));
  // Seals say how to open extents, and are no state: a store may have some of later ones.
  std::erase_if(records,
                [](const auto& one) { return one.first.starts_with(format::kSealPrefix); });
  std::vector<format::StateVolume> volumes;
  for (const auto& [key, value] : records) {
    if (!key.starts_with(format::kVolumePrefix)) continue;
    SQ_TRY(const auto number, format::key_number(key, format::kVolumePrefix));
    SQ_TRY(const auto record, format::decode_volume_record(value));
    const VolumeId volume(number);
    volumes.push_back({volume, record.size_bytes, tree.top(volume)});
  }
  return format::state_hash(format::root_text(volumes, format::records_hash(records)));
}

}  // namespace

Result<> Index::Impl::compute_leaf(Batch& view, GroupId id, std::size_t target, VolumeId volume,
                                   std::uint64_t number) {
  const auto from = number * kLeafBytes;
  SQ_TRY(const auto pieces, content(view, id, volume, target, from, from + kLeafBytes));
  const auto leaf = joined(pieces);
  std::optional<StateHash> hash;
  if (!leaf.empty()) hash = format::state_hash(format::leaf_text(leaf));
  groups[id].roots.tree.set_leaf(volume, number, hash);
  return {};
}

Result<std::optional<StateHash>> Index::state_root_step(GroupId group, Sequence at,
                                                        std::size_t leaves_max) {
  if (impl_->broken) return *impl_->broken;
  const auto* known = impl_->find_group(group);
  const bool landing = known && known->landing && known->landing->target.sequence == at &&
                       known->landing->phase == format::LandingRow::Phase::kItems;
  const auto shown = landing ? std::nullopt : std::optional(at);  // nothing: the present
  SQ_TRY(const auto target, impl_->position_of(group, shown));
  auto& state = impl_->groups[group];
  auto& roots = state.roots;
  if (at < roots.until) roots = {};
  if (roots.until < at) {
    roots.until = at;
    roots.cursor = {};
    roots.swept = false;
  }
  Batch view(*impl_->kv);
  std::size_t left = std::max<std::size_t>(leaves_max, 1);
  while (left > 0 && !roots.swept) {
    SQ_TRY(const auto changes,
           diff(group, base_of(state, roots.since), shown, roots.cursor, kChangesAtOnce));
    roots.swept = changes.empty();
    for (const auto& [volume, piece] : changes) {
      const auto end = piece.offset + piece.length;
      auto next = piece.offset;
      if (volume == roots.cursor.volume) next = std::max(next, roots.cursor.offset);
      for (; left > 0 && next < end; --left) {
        SQ_TRY(impl_->compute_leaf(view, group, target, volume, next / kLeafBytes));
        next = (next / kLeafBytes + 1) * kLeafBytes;
        roots.cursor = {volume, next};
      }
    }
  }
  for (; left > 0 && !roots.stale.empty(); --left) {
    const auto leaf = *roots.stale.begin();
    SQ_TRY(impl_->compute_leaf(view, group, target, leaf.volume, leaf.number));
    roots.stale.erase(leaf);
  }
  if (!roots.swept || !roots.stale.empty()) return std::optional<StateHash>();
  roots.since = at;
  SQ_TRY(const auto root, root_of(*this, group, shown, roots.tree));
  return std::optional(root);
}

}  // namespace square::index
