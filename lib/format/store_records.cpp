#include "format/store_records.hpp"

#include <charconv>

namespace square::format {
namespace {

constexpr std::uint8_t kVersion = 1;

std::string hex_key(std::string_view prefix, std::uint64_t number, int digits) {
  std::string key(prefix);
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4)
    key.push_back("0123456789abcdef"[number >> shift & 15]);
  return key;
}

// Begins a value: version, then the body.
template <class Body>
ByteVector versioned(Body body) {
  ByteVector out;
  Writer writer(out);
  writer.put(kVersion);
  body(writer);
  return out;
}

template <class Record, class Body>
Result<Record> decode(Bytes bytes, std::string_view what, Body body) {
  Reader in(bytes);
  const auto version = in.get<std::uint8_t>();
  if (in.ok() && version != kVersion)
    return Error{Code::kUnsupported, std::string(what) + " record of version " +
                                         std::to_string(version) + "; this release knows 1"};
  Record record;
  body(in, record);
  if (!in.finished()) return Error{Code::kCorrupt, std::string(what) + " record is malformed"};
  return record;
}

}  // namespace

std::uint16_t feature_level_of(OperationType type) {
  switch (type) {
    case OperationType::kWrite:
    case OperationType::kHole:
    case OperationType::kPutRecord:
    case OperationType::kDeleteRecord:
    case OperationType::kSnapshotMark:
    case OperationType::kDropSnapshot:
    case OperationType::kPurgeVolume:
    case OperationType::kRewrite:
    case OperationType::kTermMark:
    case OperationType::kSessionEnd:
    case OperationType::kVoid: break;
  }
  return 1;
}

std::string seal_key(std::uint32_t reference) { return hex_key(kSealPrefix, reference, 8); }
std::string session_key(SessionId session) { return hex_key(kSessionPrefix, session.value, 16); }
std::string snapshot_key(Sequence mark) { return hex_key(kSnapshotPrefix, mark.value, 16); }
std::string volume_key(VolumeId volume) { return hex_key(kVolumePrefix, volume.value, 16); }

Result<std::uint64_t> key_number(std::string_view key, std::string_view prefix) {
  std::uint64_t number = 0;
  if (!key.starts_with(prefix))
    return Error{Code::kCorrupt, "record key '" + std::string(key) + "'"};
  const auto digits = key.substr(prefix.size());
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (error != std::errc{} || end != digits.data() + digits.size())
    return Error{Code::kCorrupt, "record key '" + std::string(key) + "'"};
  return number;
}

ByteVector encode(const GroupRecord& record) {
  return versioned([&](Writer& out) {
    out.put(record.incarnation);
    out.put(record.next_volume);
    out.put(record.clock_ns);
    out.put(record.level);
  });
}
Result<GroupRecord> decode_group_record(Bytes bytes) {
  return decode<GroupRecord>(bytes, "group", [](Reader& in, GroupRecord& record) {
    in.get(record.incarnation);
    in.get(record.next_volume);
    in.get(record.clock_ns);
    in.get(record.level);
  });
}

ByteVector encode(const SealRecord& record) {
  return versioned([&](Writer& out) { out.put_raw(record.seal); });
}
Result<SealRecord> decode_seal_record(Bytes bytes) {
  return decode<SealRecord>(bytes, "seal", [](Reader& in, SealRecord& record) {
    const auto raw = in.get_raw(record.seal.size());
    if (in.ok()) std::memcpy(record.seal.data(), raw.data(), raw.size());
  });
}

ByteVector encode(const SessionRecord& record) {
  return versioned([&](Writer& out) { out.put(record.opened_wall_ns); });
}
Result<SessionRecord> decode_session_record(Bytes bytes) {
  return decode<SessionRecord>(
      bytes, "session", [](Reader& in, SessionRecord& record) { in.get(record.opened_wall_ns); });
}

ByteVector encode(const SnapshotRecord& record) {
  return versioned([&](Writer& out) {
    codec::put(out, record.name);
    out.put(static_cast<std::uint32_t>(record.volumes.size()));
    for (const auto volume : record.volumes) out.put(volume);
  });
}
Result<SnapshotRecord> decode_snapshot_record(Bytes bytes) {
  return decode<SnapshotRecord>(bytes, "snapshot", [](Reader& in, SnapshotRecord& record) {
    codec::get(in, record.name);
    const auto count = in.get<std::uint32_t>();
    if (count > kSnapshotVolumesMax) return in.fail();
    for (std::uint32_t i = 0; i < count && in.ok(); ++i)
      record.volumes.emplace_back(in.get<std::uint64_t>());
  });
}

ByteVector encode(const VolumeRecord& record) {
  return versioned([&](Writer& out) {
    codec::put(out, record.name);
    out.put(record.tenant);
    out.put(record.key);
    out.put(record.size_bytes);
    out.put(record.extent_bytes);
    out.put(static_cast<std::uint8_t>(record.deleted));
    out.put(record.deleted_wall_ns);
  });
}
Result<VolumeRecord> decode_volume_record(Bytes bytes) {
  return decode<VolumeRecord>(bytes, "volume", [](Reader& in, VolumeRecord& record) {
    codec::get(in, record.name);
    in.get(record.tenant);
    in.get(record.key);
    in.get(record.size_bytes);
    in.get(record.extent_bytes);
    const auto deleted = in.get<std::uint8_t>();
    record.deleted = deleted == 1;
    in.get(record.deleted_wall_ns);
    if (deleted > 1 || record.size_bytes % kBlockBytes != 0 || record.extent_bytes < kBlockBytes ||
        record.extent_bytes > kOperationBytesMax ||
        (record.extent_bytes & (record.extent_bytes - 1)) != 0)
      in.fail();
  });
}

ByteVector encode(const CheckpointHeader& header) {
  return versioned([&](Writer& out) {
    out.put(header.epoch);
    put(out, header.tail);
  });
}
Result<CheckpointHeader> decode_checkpoint_header(Bytes bytes) {
  return decode<CheckpointHeader>(bytes, "checkpoint", [](Reader& in, CheckpointHeader& header) {
    in.get(header.epoch);
    get(in, header.tail);
  });
}

}  // namespace square::format
