#pragma once
// One lane record of every kind and operation type, with fixed content: golden bytes, round trips
// and the fuzzers' seeds are made of them.

#include <utility>
#include <vector>

#include "codec/checksum.hpp"
#include "format/record.hpp"

namespace square::test {

inline format::Hash128 hash_of(std::uint8_t fill) {
  format::Hash128 hash;
  hash.fill(std::byte{fill});
  return hash;
}

inline format::Place sample_place(std::uint32_t byte_offset) {
  return {SegmentId(17), {3, 9}, 256, 4, byte_offset};
}

inline format::ExtentRef sample_extent(std::uint16_t index, std::uint32_t plain_bytes,
                                       bool placed) {
  format::ExtentRef extent;
  extent.id = {3, Sequence(1001), index};
  extent.plain_bytes = plain_bytes;
  extent.stored_bytes = plain_bytes + plain_bytes / 512 + 100;
  extent.checksum = 0x1122334455667788ull + index;
  extent.digest = hash_of(0xd0);
  if (placed) extent.place = sample_place(index * 5000u);
  return extent;
}

inline format::StripeDescriptor sample_stripe() {
  format::StripeDescriptor stripe;
  stripe.segment = SegmentId(17);
  stripe.generation = {3, 9};
  stripe.stripe_block = 256;
  stripe.strip_blocks = 4;
  stripe.k = 2;
  stripe.m = 1;
  stripe.slots = {Slot(4), Slot(0), Slot(11)};
  stripe.checksums = {0xa1, 0xb2, 0xc3};
  stripe.extents = {{GroupId(1), VolumeId(5), 8192, 4096, 4204, {3, Sequence(1001), 0}, 0}};
  return stripe;
}

inline format::Operation sample_operation(format::OperationType type, bool placed = false) {
  using enum format::OperationType;
  format::Operation operation;
  operation.type = type;
  operation.group = GroupId(1);
  operation.incarnation = Incarnation(0x0123456789abcdefull);
  operation.epoch = {3, 0xfeedf00ddeadbeefull};
  operation.sequence = Sequence(1001);
  operation.commit = Sequence(998);
  operation.session = SessionId(77);
  operation.request = RequestNumber(12);
  operation.wall_ns = 1'700'000'000'000'000'000;
  format::WriteBody body{
      VolumeId(5),
      {{8192, sample_extent(0, 4096, placed)}, {16384, sample_extent(1, 8192, placed)}},
      {}};
  switch (type) {
    case kRewrite: body.expected = {{2, Sequence(40), 0}, {2, Sequence(41), 3}}; [[fallthrough]];
    case kWrite: operation.body = std::move(body); break;
    case kHole: operation.body = format::HoleBody{VolumeId(5), 65536, 131072}; break;
    case kPutRecord:
      operation.body = format::RecordBody{"vol/0000000000000005", ByteVector(9, std::byte{0x5a})};
      break;
    case kDeleteRecord: operation.body = format::RecordBody{"name/database", {}}; break;
    case kDropSnapshot:
      operation.body = format::DropBody{{Incarnation(8), {2, 6}, Sequence(900), hash_of(0x55)}};
      break;
    case kPurgeVolume: operation.body = format::PurgeBody{VolumeId(5)}; break;
    case kTermMark: operation.body = format::TermBody{{2, 6}, Sequence(1000), hash_of(0x66)}; break;
    case kSessionEnd: operation.body = format::SessionEndBody{SessionId(77)}; break;
    case kSnapshotMark:
    case kVoid: break;
  }
  operation.chain = format::chain_hash(hash_of(0x11), operation);
  return operation;
}

// By the name of the golden file.
inline const std::vector<std::pair<std::string, format::OperationType>>& operation_types() {
  using enum format::OperationType;
  static const std::vector<std::pair<std::string, format::OperationType>> all = {
      {"record_write", kWrite},
      {"record_hole", kHole},
      {"record_put_record", kPutRecord},
      {"record_delete_record", kDeleteRecord},
      {"record_snapshot_mark", kSnapshotMark},
      {"record_drop_snapshot", kDropSnapshot},
      {"record_purge_volume", kPurgeVolume},
      {"record_rewrite", kRewrite},
      {"record_term_mark", kTermMark},
      {"record_session_end", kSessionEnd},
      {"record_void", kVoid},
  };
  return all;
}

inline format::OperationRecord sample_operation_record(format::OperationType type) {
  format::OperationRecord record{sample_operation(type), {}};
  if (const auto* body = record.operation.writes()) {
    for (const auto& written : body->extents) {
      record.payload.push_back(Buffer::allocate(written.extent.stored_bytes));
      std::memset(record.payload.back().data(), 0xe0 + written.extent.id.index,
                  written.extent.stored_bytes);
    }
  }
  return record;
}

inline format::PlacementRecord sample_placement() {
  using enum format::OperationType;
  format::PlacementRecord record{GroupId(1), {}, {sample_stripe()}};
  record.operations = {sample_operation(kWrite, true), sample_operation(kHole)};
  record.operations[1].sequence = Sequence(1002);
  return record;
}

inline format::MoveRecord sample_move() {
  return {{{sample_extent(0, 4096, true), sample_place(40960), GroupId(1), VolumeId(5), 8192}},
          {sample_stripe()}};
}

// Every kind, by the name of its golden file too.
inline std::vector<std::pair<std::string, format::LaneRecord>> sample_records() {
  std::vector<std::pair<std::string, format::LaneRecord>> all;
  for (const auto& [name, type] : operation_types())
    all.emplace_back(name, sample_operation_record(type));
  all.emplace_back("record_direct",
                   format::DirectRecord{sample_operation(format::OperationType::kWrite, true),
                                        {sample_stripe()}});
  all.emplace_back("record_placement", sample_placement());
  all.emplace_back("record_move", sample_move());
  all.emplace_back("record_empty", format::EmptyRecord{});
  return all;
}

inline Buffer joined(const BufferChain& chain) {
  auto whole = Buffer::allocate(total_size(chain));
  std::size_t at = 0;
  for (const auto& part : chain) {
    std::memcpy(whole.data() + at, part.data(), part.size());
    at += part.size();
  }
  return whole;
}

}  // namespace square::test
