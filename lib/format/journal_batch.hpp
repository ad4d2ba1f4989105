#pragma once
// One batch of a journal lane: a header of 128 bytes, then its records. docs/formats/journal.md.
//
//   | header | length, 0, bytes, pad to 8 | length, 0, bytes, pad to 8 | ... | pad to 4 KiB |
//            |<------------------ body_bytes ------------------------>|
//   |<------------------------------ written_bytes() --------------------------------------->|
//
// The header carries its own checksum, so it can be believed when the body is torn: what it says of
// epoch, durable position and tail is then still true. The chain hash covers header and body.

#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "format/types.hpp"

namespace square::format {

inline constexpr std::uint32_t kJournalHeaderBytes = 128;
inline constexpr std::uint16_t kJournalVersion = 1;

struct JournalHeader {
  PoolId pool;
  std::uint16_t lane = 0;
  LanePosition position;
  // Of ring, with padding. More than written_bytes() only in a batch without records that fills the
  // ring up to its end, because a batch does not wrap.
  std::uint32_t length = 0;
  std::uint32_t records = 0;
  std::uint32_t body_bytes = 0;
  Epoch epoch;
  LanePosition durable;  // everything below was durable when this was made
  LanePoint tail;        // nothing below is needed any more; the chain hash before it
  Hash128 previous{};    // chain hash of the batch that ends at `position`
  Hash128 chain{};       // XXH3-128 over the header up to here, and the body
  bool operator==(const JournalHeader&) const = default;

  LanePosition end() const { return LanePosition(position.value + length); }
  LanePoint before() const { return {position, previous}; }
  LanePoint after() const { return {end(), chain}; }
  std::uint32_t written_bytes() const {
    return static_cast<std::uint32_t>(align_up(kJournalHeaderBytes + body_bytes, kBlockBytes));
  }
};

// What a record of that many bytes adds to the body.
constexpr std::uint64_t journal_record_bytes(std::uint64_t size) { return 8 + align_up(size, 8); }

struct JournalBatch {
  JournalHeader header;
  Buffer bytes;                 // written_bytes(), aligned
  std::vector<Buffer> records;  // slices of `bytes`
};

// Fills in records, body_bytes and chain; `length` too unless it was set (a filler, without
// records).
JournalBatch encode_journal_batch(JournalHeader header, std::span<const BufferChain> records);

// From the first 128 bytes of `bytes` alone. Errors: kCorrupt; kUnsupported: a valid header of a
// version that this program does not know, never to be skipped.
Result<JournalHeader> decode_journal_header(Bytes bytes);
// The whole batch, written_bytes() of it or more: header, chain hash and records.
// Errors: as above.
Result<JournalBatch> decode_journal_batch(const Buffer& bytes);

}  // namespace square::format
