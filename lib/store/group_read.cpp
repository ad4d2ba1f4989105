// Reading: the memory map first, then the index, then the bytes; every extent checked for identity,
// checksum and expectation before a byte of it is used.
#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/seal.hpp"
#include "store/group.hpp"
#include "store/request_checks.hpp"

namespace square::store {

namespace {

constexpr int kReadAttempts = 8;  // a segment may be cleaned and reused between lookup and read
constexpr std::uint32_t kReadThroughBytes = 20u << 10;  // rather than one more request
constexpr std::uint64_t kStatusChunkBytes = 64ull << 20;

ReadPiece from_mapping(std::uint64_t offset, std::uint64_t length, const format::Mapping& mapping) {
  ReadPiece piece;
  piece.offset = offset;
  piece.length = length;
  piece.hole = mapping.hole;
  piece.extent = mapping.extent;
  piece.extent_offset = mapping.extent_offset;
  return piece;
}

// Every byte of the answer comes from a piece; a byte that none covers would be whatever memory
// held.
bool covers(const std::vector<ReadPiece>& pieces, std::uint64_t offset, std::uint64_t size) {
  auto at = offset;
  for (const auto& piece : pieces) {
    if (piece.offset != at || piece.length > offset + size - at) return false;
    at += piece.length;
  }
  return at == offset + size;
}

}  // namespace

// Memory and index are asked in one step, with nothing between: one cut of the group's state.
Result<std::vector<ReadPiece>> Group::map_range(VolumeId volume, std::uint64_t offset,
                                                std::uint64_t length,
                                                std::optional<Sequence> at) const {
  std::vector<ReadPiece> out;
  const auto from_index = [&](std::uint64_t begin, std::uint64_t size) -> Result<> {
    SQ_TRY(const auto pieces, core_.index->lookup(id_, volume, begin, size, at));
    for (const auto& piece : pieces)
      out.push_back(
          from_mapping(piece.offset, piece.length, piece.mapping.value_or(format::Mapping{})));
    return {};
  };
  if (at) {
    SQ_TRY(from_index(offset, length));
    for (auto& piece : out) piece.snapshot = at;
    return out;
  }
  for (auto& piece : memory_.lookup(volume, offset, length)) {
    if (!piece.known) {
      SQ_TRY(from_index(piece.offset, piece.length));
      continue;
    }
    out.push_back(from_mapping(piece.offset, piece.length, piece.mapping));
    out.back().stored = std::move(piece.stored);
  }
  return out;
}

Async<> Group::fetch(VolumeId volume, KeyId key_id, ReadPiece piece, MutableBytes out,
                     std::vector<std::uint64_t>* ingest) {
  if (piece.hole) {
    std::memset(out.data(), 0, out.size());
    co_return {};
  }
  if (const auto part = part_to_read(piece)) {
    auto done = co_await fetch_part(volume, key_id, piece, *part, out, ingest);
    if (done.ok() || done.code() == Code::kNotFound) co_return done;
    SQ_PROBE("a part of an extent did not prove itself: the whole was read");
    ++core_.stats.parts_unproven;
  }
  auto stored = piece.stored;
  if (!stored.empty()) {
    SQ_CO_TRY(codec::verify_stored(stored.bytes(), piece.extent));
  } else {
    const pool::Pool::Verify verify = [&piece](Bytes bytes) {
      return SQ_PLANTED("expected_checksum_ignored") ||
             codec::verify_stored(bytes, piece.extent).ok();
    };
    SQ_CO_TRY(stored, co_await core_.pool->read_place(piece.extent.place, piece.extent.stored_bytes,
                                                      verify));
  }
  SQ_CO_TRY(const auto header, codec::decode_extent_header(stored.bytes()));
  SQ_CO_TRY(const auto seal, seal_of(header.seal, piece.snapshot));
  SQ_CO_TRY(const auto* key, core_.keys.data_key(key_id));
  co_return opener_.open(*key, key_id, seal, stored.bytes(), identity_of(volume, piece),
                         piece.extent_offset, out, ingest);
}

// Snapshots that came as diffs may be of several pasts: each has its own seals, and its own name.
Result<codec::SealId> Group::seal_of(std::uint32_t reference, std::optional<Sequence> at) const {
  if (!core_.options.receives) return seals_.find(reference);
  SQ_TRY(const auto value, core_.index->record(id_, format::seal_key(reference), at));
  if (!value)
    return Error{Code::kCorrupt, "no record of seal " + std::to_string(reference) + " has come"};
  SQ_TRY(const auto record, format::decode_seal_record(*value));
  return record.seal;
}

Incarnation Group::incarnation_of(std::optional<Sequence> at) const {
  if (core_.options.receives)
    for (const auto& held : core_.index->snapshots(id_))
      if (held.id.sequence == at) return held.id.incarnation;
  return incarnation_;
}

codec::ExtentIdentity Group::identity_of(VolumeId volume, const ReadPiece& piece) const {
  codec::ExtentIdentity identity;
  identity.cell = core_.cell_tag();
  identity.incarnation = incarnation_of(piece.snapshot);
  identity.container = volume;
  identity.offset = piece.offset - piece.extent_offset;
  identity.plain_bytes = piece.extent.plain_bytes;
  identity.id = piece.extent.id;
  return identity;
}

// Nothing when the whole extent is to be read: it is in memory, or little would be saved. An extent
// of another frame size is read whole too; only its header says which.
std::optional<codec::StoredPart> Group::part_to_read(const ReadPiece& piece) const {
  const auto& extent = piece.extent;
  const auto shift = core_.options.frame_shift;
  if (!piece.stored.empty()) return std::nullopt;
  if (extent.stored_bytes != codec::stored_size(extent.plain_bytes, shift)) return std::nullopt;
  auto part = codec::part_of(extent.plain_bytes, shift, piece.extent_offset,
                             static_cast<std::uint32_t>(piece.length));
  if (part.frames_begin - part.header_bytes <= kReadThroughBytes)
    part.frames_begin = part.header_bytes;
  const auto bytes = part.header_bytes + (part.frames_end - part.frames_begin);
  if (bytes + 2 * kBlockBytes > extent.stored_bytes / 2) return std::nullopt;
  return part;
}

Task<void> Group::read_stored(format::Place place, std::uint32_t begin, std::uint32_t end,
                              Result<Buffer>* out) {
  place.byte_offset += begin;
  // Whether it is right is seen when header and frames are together.
  *out = co_await core_.pool->read_place(place, end - begin, [](Bytes) { return true; });
}

// The index's digest proves the header, and the header's tags each frame.
Async<> Group::fetch_part(VolumeId volume, KeyId key_id, const ReadPiece& piece,
                          codec::StoredPart part, MutableBytes out,
                          std::vector<std::uint64_t>* ingest) {
  SQ_PROBE("a part of an extent was read");
  const auto& place = piece.extent.place;
  Result<Buffer> head = Buffer(), frames = Buffer();
  if (part.frames_begin == part.header_bytes) {
    co_await read_stored(place, 0, part.frames_end, &head);
    if (head.ok()) frames = head->slice(part.header_bytes, part.frames_end - part.header_bytes);
  } else {
    env::Scope reads(core_.env.loop);
    reads.spawn(read_stored(place, 0, part.header_bytes, &head));
    reads.spawn(read_stored(place, part.frames_begin, part.frames_end, &frames));
    co_await reads.join();
  }
  SQ_CO_TRY(head);
  SQ_CO_TRY(frames);
  SQ_CO_TRY(const auto header, codec::verify_header(head->bytes(), piece.extent));
  SQ_CO_TRY(const auto seal, seal_of(header.seal, piece.snapshot));
  SQ_CO_TRY(const auto* key, core_.keys.data_key(key_id));
  co_return opener_.open_part(*key, key_id, seal, head->bytes(), frames->bytes(), part.frames_begin,
                              identity_of(volume, piece), piece.extent_offset, out, ingest);
}

// `result` keeps the first error; it outlives the task.
Task<void> Group::fetch_one(VolumeId volume, KeyId key, ReadPiece piece, MutableBytes out,
                            Result<>* result) {
  auto fetched = co_await fetch(volume, key, std::move(piece), out);
  if (!fetched.ok() && result->ok()) *result = std::move(fetched);
}

Async<> Group::read_blocks(VolumeId volume, KeyId key, std::uint64_t offset, MutableBytes out,
                           std::optional<Sequence> at) {
  Result<> result;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    SQ_CO_TRY(core_.alive());
    SQ_CO_TRY(const auto pieces, map_range(volume, offset, out.size(), at));
    if (!covers(pieces, offset, out.size()))
      co_return Error{Code::kCorrupt, "the index does not cover what was asked for"};
    result = {};
    if (pieces.size() == 1) {
      result = co_await fetch(volume, key, pieces.front(), out);
    } else {
      env::Scope fetches(core_.env.loop);
      for (const auto& piece : pieces)
        fetches.spawn(fetch_one(volume, key, piece,
                                out.subspan(piece.offset - offset, piece.length), &result));
      co_await fetches.join();
    }
    if (result.ok() || result.code() != Code::kNotFound) break;
    SQ_PROBE("a read looked its place up again");
  }
  if (!result.ok())
    co_return std::move(result).context("read " + std::to_string(out.size()) + " bytes at " +
                                        std::to_string(offset) + " of volume " +
                                        std::to_string(volume.value));
  co_return {};
}

Result<format::VolumeRecord> Group::record_of(VolumeId volume, std::optional<Sequence> at) const {
  if (at) {
    SQ_TRY(const auto value, core_.index->record(id_, format::volume_key(volume), at));
    if (value) return format::decode_volume_record(*value);
    return Error{Code::kNotFound,
                 "the snapshot does not hold volume " + std::to_string(volume.value)};
  }
  const auto found = volumes_.find(volume);
  if (found == volumes_.end() || found->second.record.deleted)
    return Error{Code::kNotFound, "there is no volume " + std::to_string(volume.value)};
  return found->second.record;
}

// A volume that has grown since reads as zeros behind its end of then.
Async<format::VolumeRecord> Group::begin_reading(VolumeId volume, std::uint64_t offset,
                                                 std::uint64_t length, std::optional<Sequence> at) {
  SQ_CO_TRY(core_.alive());
  if (!at && core_.options.receives)
    co_return Error{Code::kConflict,
                    "this store holds snapshots of another one: say which one to read"};
  if (at) SQ_CO_TRY(co_await wait_applied(*at));
  SQ_CO_TRY(auto record, record_of(volume, at));
  SQ_CO_TRY(check_range_within(at ? kVolumeBytesMax : record.size_bytes, offset, length));
  co_return record;
}

Async<Buffer> Group::read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                          std::optional<Sequence> at) {
  if (length > format::kOperationBytesMax)
    co_return Error{Code::kInvalid, "a read asks for at most 1 MiB"};
  SQ_CO_TRY(const auto record, co_await begin_reading(volume, offset, length, at));
  const auto begin = offset / kBlockBytes * kBlockBytes;
  auto blocks = Buffer::allocate(align_up(offset + length, kBlockBytes) - begin);
  SQ_CO_TRY(co_await read_blocks(volume, record.key, begin, blocks.bytes(), at));
  ++core_.stats.reads;
  core_.stats.read_bytes += length;
  co_return blocks.slice(offset - begin, length);
}

Async<std::vector<Extents>> Group::block_status(VolumeId volume, std::uint64_t offset,
                                                std::uint64_t length, std::size_t count_max,
                                                std::optional<Sequence> at) {
  SQ_CO_TRY(co_await begin_reading(volume, offset, length, at));
  std::vector<Extents> out;
  const auto end = align_up(offset + length, kBlockBytes);
  auto position = offset / kBlockBytes * kBlockBytes;
  while (position < end && out.size() <= count_max) {
    const auto size = std::min(kStatusChunkBytes, end - position);
    SQ_CO_TRY(const auto pieces, map_range(volume, position, size, at));
    for (const auto& piece : pieces) {
      if (!out.empty() && out.back().hole == piece.hole)
        out.back().length += piece.length;
      else
        out.push_back({piece.offset, piece.length, piece.hole});
    }
    position += size;
    if (position < end) co_await env::yield(core_.env.loop);
  }
  if (out.size() > count_max) out.resize(count_max);
  // As asked: not widened to whole blocks.
  if (!out.empty()) {
    out.front().length -= offset - out.front().offset;
    out.front().offset = offset;
    const auto over = out.back().offset + out.back().length;
    if (over > offset + length) out.back().length -= over - (offset + length);
  }
  co_return out;
}

}  // namespace square::store
