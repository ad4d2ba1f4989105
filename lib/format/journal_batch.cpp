#include "format/journal_batch.hpp"

#include "codec/checksum.hpp"

namespace square::format {
namespace {

constexpr std::uint32_t kMagic = 0x6C6A7153;  // "Sqjl"
constexpr std::size_t kChainAt = 104;         // what is before is covered by the chain hash
constexpr std::size_t kChecksumAt = 120;      // what is before is covered by the checksum
constexpr std::uint32_t kBodyBytesMax = 1u << 30;

Hash128 chain_of(Bytes header, Bytes body) {
  const std::array<Bytes, 2> pieces{header.first(kChainAt), body};
  return codec::checksum128(pieces);
}

Error corrupt(std::string_view what) {
  return {Code::kCorrupt, std::string("journal batch: ").append(what)};
}

void put_header(const JournalHeader& header, Bytes body, std::byte* into) {
  ByteVector bytes;
  bytes.reserve(kJournalHeaderBytes);
  Writer out(bytes);
  out.put(kMagic);
  out.put(kJournalVersion);
  out.put(header.lane);
  out.put(header.pool);
  out.put(header.position);
  out.put(header.length);
  out.put(header.records);
  out.put(header.body_bytes);
  out.put(header.epoch);
  out.put(header.durable);
  put(out, header.tail);
  put(out, header.previous);
  SQ_CHECK(out.size() == kChainAt);
  put(out, chain_of(bytes, body));
  out.put(codec::checksum64(bytes));
  SQ_CHECK(out.size() == kJournalHeaderBytes);
  std::memcpy(into, bytes.data(), bytes.size());
}

// Values that no encoder writes.
bool plausible(const JournalHeader& header) {
  if (header.position.value % kBlockBytes != 0 || header.length % kBlockBytes != 0) return false;
  if (header.body_bytes > kBodyBytesMax || header.body_bytes % 8 != 0) return false;
  if (header.records > header.body_bytes / 8) return false;
  if ((header.records == 0) != (header.body_bytes == 0)) return false;
  if (header.length < header.written_bytes()) return false;
  if (header.length > header.written_bytes() && header.records != 0) return false;
  if (header.end() < header.position) return false;
  return header.tail.position <= header.durable && header.durable <= header.position;
}

Result<std::vector<Buffer>> split_records(const JournalHeader& header, const Buffer& bytes) {
  Reader in(bytes.bytes().subspan(kJournalHeaderBytes, header.body_bytes));
  std::vector<Buffer> records;
  records.reserve(header.records);
  for (std::uint32_t i = 0; i < header.records; ++i) {
    const auto size = in.get<std::uint32_t>();
    if (in.get<std::uint32_t>() != 0) in.fail();
    const auto at = kJournalHeaderBytes + in.position();
    in.get_raw(align_up(size, 8));
    if (!in.ok()) return corrupt("a record reaches beyond the body");
    records.push_back(bytes.slice(at, size));
  }
  if (!in.finished()) return corrupt("bytes after the last record");
  return records;
}

}  // namespace

JournalBatch encode_journal_batch(JournalHeader header, std::span<const BufferChain> records) {
  std::uint64_t body_bytes = 0;
  for (const auto& record : records) body_bytes += journal_record_bytes(total_size(record));
  SQ_CHECK(body_bytes <= kBodyBytesMax, "a journal batch is too large");
  header.records = static_cast<std::uint32_t>(records.size());
  header.body_bytes = static_cast<std::uint32_t>(body_bytes);
  if (header.length == 0) header.length = header.written_bytes();
  SQ_CHECK(plausible(header), "a journal batch that its decoder would refuse");

  JournalBatch batch{header, Buffer::allocate(header.written_bytes()), {}};
  auto* const start = batch.bytes.data();
  std::size_t at = kJournalHeaderBytes;
  for (const auto& record : records) {
    const auto size = static_cast<std::uint32_t>(total_size(record));
    const std::array<std::uint32_t, 2> prefix{size, 0};
    std::memcpy(start + at, prefix.data(), sizeof prefix);
    at += sizeof prefix;
    batch.records.push_back(batch.bytes.slice(at, size));
    for (const auto& piece : record) {
      if (!piece.empty()) std::memcpy(start + at, piece.data(), piece.size());
      at += piece.size();
    }
    const auto padding = align_up(size, 8) - size;
    std::memset(start + at, 0, padding);
    at += padding;
  }
  std::memset(start + at, 0, header.written_bytes() - at);
  put_header(header, batch.bytes.bytes().subspan(kJournalHeaderBytes, header.body_bytes), start);
  std::memcpy(batch.header.chain.data(), start + kChainAt, batch.header.chain.size());
  return batch;
}

Result<JournalHeader> decode_journal_header(Bytes bytes) {
  if (bytes.size() < kJournalHeaderBytes) return corrupt("shorter than its header");
  Reader in(bytes.first(kJournalHeaderBytes));
  if (in.get<std::uint32_t>() != kMagic) return corrupt("no header here");
  const auto version = in.get<std::uint16_t>();
  JournalHeader header;
  in.get(header.lane);
  in.get(header.pool);
  in.get(header.position);
  in.get(header.length);
  in.get(header.records);
  in.get(header.body_bytes);
  in.get(header.epoch);
  in.get(header.durable);
  get(in, header.tail);
  get(in, header.previous);
  get(in, header.chain);
  if (in.get<std::uint64_t>() != codec::checksum64(bytes.first(kChecksumAt)))
    return corrupt("wrong header checksum");
  if (version != kJournalVersion)
    return Error{Code::kUnsupported, "journal batch of version " + std::to_string(version)};
  if (!in.finished() || !plausible(header)) return corrupt("impossible header");
  return header;
}

Result<JournalBatch> decode_journal_batch(const Buffer& bytes) {
  SQ_TRY(auto header, decode_journal_header(bytes.bytes()));
  if (bytes.size() < header.written_bytes()) return corrupt("cut off");
  const auto body = bytes.bytes().subspan(kJournalHeaderBytes, header.body_bytes);
  if (chain_of(bytes.bytes(), body) != header.chain) return corrupt("wrong chain hash");
  SQ_TRY(auto records, split_records(header, bytes));
  return JournalBatch{header, bytes.slice(0, header.written_bytes()), std::move(records)};
}

}  // namespace square::format
