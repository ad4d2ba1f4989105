#pragma once
// Values of the records that a group keeps about itself. Keys sort by kind:
//   group           GroupRecord, one
//   seal/<8 hex>    SealRecord: table reference -> seal id; before any extent that uses it
//   ses/<16 hex>    SessionRecord
//   snap/<16 hex>   SnapshotRecord, by the mark's sequence
//   vol/<16 hex>    VolumeRecord, by volume id
// docs/formats/store_records.md has the bytes. Names are a tenant's plaintext and sealed; what a
// node without data keys must know (sizes, states, ids) stands in the clear.

#include <string>
#include <vector>

#include "codec/sealed_field.hpp"
#include "format/record.hpp"

namespace square::format {

// What a node must know to serve a group: it grows with each type of operation that older releases
// do not know. A type may be logged only when the level in the group's record includes it, which is
// raised when every node of the group knows it.
inline constexpr std::uint16_t kFeatureLevel = 1;  // of this release
std::uint16_t feature_level_of(OperationType type);

struct GroupRecord {
  Incarnation incarnation;
  std::uint64_t next_volume = 1;  // ids are never used twice
  std::int64_t clock_ns = 0;      // what the retention clock showed
  std::uint16_t level = kFeatureLevel;
  bool operator==(const GroupRecord&) const = default;
};
struct SealRecord {
  std::array<std::byte, 32> seal{};
  bool operator==(const SealRecord&) const = default;
};
struct SessionRecord {
  std::int64_t opened_wall_ns = 0;
  bool operator==(const SessionRecord&) const = default;
};
inline constexpr std::size_t kSnapshotVolumesMax = 1024;
struct SnapshotRecord {
  codec::SealedField name;        // under the first volume's key
  std::vector<VolumeId> volumes;  // that it is about, by name in their own records
  bool operator==(const SnapshotRecord&) const = default;
};
struct VolumeRecord {
  codec::SealedField name;
  TenantId tenant;
  KeyId key;
  std::uint64_t size_bytes = 0;
  std::uint32_t extent_bytes = 0;
  bool deleted = false;
  std::int64_t deleted_wall_ns = 0;  // by the group's retention clock
  bool operator==(const VolumeRecord&) const = default;
};

// What a checkpoint says beside its files.
struct CheckpointHeader {
  Epoch epoch;     // of the term that made it
  LanePoint tail;  // recovery reads the lane from here: the files hold all below
  bool operator==(const CheckpointHeader&) const = default;
};

inline constexpr std::string_view kGroupKey = "group";
inline constexpr std::string_view kSealPrefix = "seal/";
inline constexpr std::string_view kSessionPrefix = "ses/";
inline constexpr std::string_view kSnapshotPrefix = "snap/";
inline constexpr std::string_view kVolumePrefix = "vol/";

std::string seal_key(std::uint32_t reference);
std::string session_key(SessionId session);
std::string snapshot_key(Sequence mark);
std::string volume_key(VolumeId volume);
// The number behind the prefix. Errors: kCorrupt.
Result<std::uint64_t> key_number(std::string_view key, std::string_view prefix);

ByteVector encode(const GroupRecord& record);
ByteVector encode(const SealRecord& record);
ByteVector encode(const SessionRecord& record);
ByteVector encode(const SnapshotRecord& record);
ByteVector encode(const VolumeRecord& record);
ByteVector encode(const CheckpointHeader& header);

// Errors: kCorrupt, kUnsupported (a newer version).
Result<GroupRecord> decode_group_record(Bytes bytes);
Result<SealRecord> decode_seal_record(Bytes bytes);
Result<SessionRecord> decode_session_record(Bytes bytes);
Result<SnapshotRecord> decode_snapshot_record(Bytes bytes);
Result<VolumeRecord> decode_volume_record(Bytes bytes);
Result<CheckpointHeader> decode_checkpoint_header(Bytes bytes);

}  // namespace square::format
