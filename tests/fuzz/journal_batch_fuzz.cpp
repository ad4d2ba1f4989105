// Any bytes as a journal batch. What the decoder takes, the encoder makes again, byte for byte up
// to the padding. The checksums are set right first, else no input would come past them.
#include <cstdint>
#include <cstdlib>

#include "codec/checksum.hpp"
#include "format/journal_batch.hpp"

using namespace square;

namespace {

void make_checksums_right(Buffer& bytes) {
  if (bytes.size() < format::kJournalHeaderBytes) return;
  std::uint32_t body_bytes = 0;
  std::memcpy(&body_bytes, bytes.data() + 40, sizeof body_bytes);
  const auto room = bytes.size() - format::kJournalHeaderBytes;
  const auto body =
      bytes.bytes().subspan(format::kJournalHeaderBytes, body_bytes <= room ? body_bytes : room);
  const std::array<Bytes, 2> pieces{bytes.bytes().first(104), body};
  const auto chain = codec::checksum128(pieces);
  std::memcpy(bytes.data() + 104, chain.data(), chain.size());
  const auto checksum = codec::checksum64(bytes.bytes().first(120));
  std::memcpy(bytes.data() + 120, &checksum, sizeof checksum);
}

void take(const Buffer& bytes) {
  const auto batch = format::decode_journal_batch(bytes);
  if (!batch.ok()) return;
  std::vector<BufferChain> records;
  for (const auto& record : batch->records) records.push_back({record});
  const auto again = format::encode_journal_batch(batch->header, records);
  // Padding between records is covered by the chain hash, and an encoder writes zeros there.
  if (again.header.chain != batch->header.chain) return;
  const auto used = format::kJournalHeaderBytes + batch->header.body_bytes;
  if (as_text(again.bytes.bytes().first(used)) != as_text(batch->bytes.bytes().first(used)))
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > (4u << 20)) return 0;
  auto bytes = Buffer::copy_of({reinterpret_cast<const std::byte*>(data), size});
  take(bytes);
  make_checksums_right(bytes);
  take(bytes);
  return 0;
}
