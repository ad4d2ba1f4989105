#pragma once
// What a disk says about itself: one 4 KiB block, four copies on each disk. docs/formats/label.md.
//
// The magic, the version behind it and the checksum in the last 8 bytes keep their places in every
// version, so that a newer label is recognised as such and never taken for a blank disk.

#include <optional>
#include <vector>

#include "format/types.hpp"

namespace square::format {

inline constexpr std::size_t kLabelBytes = kBlockBytes;
inline constexpr std::uint16_t kLabelVersion = 1;
inline constexpr std::size_t kManifestStripesMax = 4;

enum class DiskRole : std::uint8_t { kMember = 1, kSpare = 2 };
// kWhole: holds its strip of every stripe that names the slot. kRebuilding: of those written since
// it took the slot, and of some older ones. kFailed: nothing on it counts any more.
enum class SlotState : std::uint8_t { kWhole = 1, kRebuilding = 2, kFailed = 3 };

struct SlotEntry {
  DiskId disk;
  SlotState state = SlotState::kWhole;
  bool operator==(const SlotEntry&) const = default;
};

// Where a checkpoint's manifest lies.
struct CheckpointRef {
  CheckpointId id;
  std::uint32_t manifest_bytes = 0;
  std::uint64_t manifest_checksum = 0;    // XXH3-64 of the manifest
  std::vector<StripeDescriptor> stripes;  // in order; without extents; at most kManifestStripesMax
  bool operator==(const CheckpointRef&) const = default;
};

struct Label {
  std::uint64_t sequence = 0;           // of this disk's label updates
  std::uint32_t incompat_features = 0;  // an unknown bit: refuse the disk
  std::uint32_t compat_features = 0;    // an unknown bit: ignore it
  CellId cell;
  NodeId node;
  PoolId pool;
  DiskId disk;
  DiskRole role = DiskRole::kMember;
  Slot slot;  // for members
  std::uint8_t k = 0, m = 0;
  std::uint32_t chunk_bytes = 0;
  std::uint32_t chunks = 0;
  std::uint64_t journal_bytes = 0;
  std::uint64_t pool_generation = 0;  // raised by each membership change
  std::uint32_t epoch = 0;            // of the last serving term that this disk was told of
  std::vector<SlotEntry> slots;       // k + m
  std::optional<CheckpointRef> newest, previous;
  bool operator==(const Label&) const = default;
};

// Always kLabelBytes.
ByteVector encode_label(const Label& label);
// Errors: kNotFound (not a label at all), kUnsupported (a newer version, an unknown feature: says
// which), kCorrupt.
Result<Label> decode_label(Bytes block);

}  // namespace square::format
