#pragma once
// The manifest of a pool checkpoint: its owner's header, where each file lies, and which segments
// were in use. Found through the labels. docs/formats/checkpoint.md.

#include <string>
#include <vector>

#include "format/types.hpp"

namespace square::format {

inline constexpr std::uint16_t kManifestVersion = 1;
inline constexpr std::size_t kCheckpointHeaderBytesMax = 64u << 10;

struct FileStripe {
  StripeDescriptor stripe;  // without extents
  std::uint32_t bytes = 0;  // of the file, from the start of the stripe's data
  bool operator==(const FileStripe&) const = default;
};

struct ManifestFile {
  std::string name;
  std::string content_key;
  std::uint64_t size_bytes = 0;
  std::vector<FileStripe> stripes;  // in order; their bytes sum to size_bytes
  bool operator==(const ManifestFile&) const = default;
};

// A segment in use: enough to read a Place in it without its stripe's descriptor.
struct SegmentEntry {
  SegmentId segment;
  Generation generation;
  std::uint8_t kind = 0;    // pool::StripeClass
  bool summarized = false;  // its summary was complete when the checkpoint began
  std::uint8_t k = 0, m = 0;
  std::vector<Slot> slots;  // k + m, before rotation
  bool operator==(const SegmentEntry&) const = default;
};

struct CheckpointManifest {
  PoolId pool;
  CheckpointId id;
  ByteVector header;
  std::vector<ManifestFile> files;
  std::vector<SegmentEntry> segments;  // ascending
  bool operator==(const CheckpointManifest&) const = default;
};

ByteVector encode_manifest(const CheckpointManifest& manifest);
// Errors: kCorrupt; kUnsupported for a newer version.
Result<CheckpointManifest> decode_manifest(Bytes bytes);

}  // namespace square::format
