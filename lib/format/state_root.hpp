#pragma once
// What a state root is the hash of: the visible content of a group at one snapshot, as a SHA-256
// tree. Equal roots mean equal content, on any node, without keys. docs/formats/state_root.md.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "format/types.hpp"

namespace square::format {

inline constexpr std::uint16_t kStateRootVersion = 1;

using StateHash = std::array<std::byte, 32>;

// A leaf is an aligned piece of a volume; a node has up to 16 children. Every volume's tree has the
// same height, which takes any offset: growing changes no node.
inline constexpr std::uint64_t kLeafBytes = 1u << 20;
inline constexpr unsigned kNodeBits = 4;
inline constexpr unsigned kTreeLevels = 11;

// A run of one extent's content, inside a leaf. Neighbours that go on in the same extent are one.
struct LeafPiece {
  std::uint64_t offset = 0, length = 0;  // bytes of the volume
  ExtentId id;
  std::uint32_t extent_offset = 0;
  Digest digest{};
  bool operator==(const LeafPiece&) const = default;
};

struct StateVolume {
  VolumeId volume;
  std::uint64_t size_bytes = 0;
  StateHash tree{};  // of its top node; zeros when nothing is mapped
  bool operator==(const StateVolume&) const = default;
};

StateHash state_hash(Bytes text);

// Each gives the text that is hashed. Pieces ascending, in one leaf, at least one.
ByteVector leaf_text(std::span<const LeafPiece> pieces);
// Children that are not there are left out; ascending, at least one. `level` is 1 above the leaves.
ByteVector node_text(unsigned level, std::span<const std::pair<std::uint8_t, StateHash>> children);
// All records of the snapshot, in the order of their keys.
StateHash records_hash(std::span<const std::pair<std::string, ByteVector>> records);
// Volumes that the records name, ascending.
ByteVector root_text(std::span<const StateVolume> volumes, const StateHash& records);

}  // namespace square::format
