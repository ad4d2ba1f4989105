// Any bytes as a lane record: decoding never reads outside, and what decodes encodes to the same.
#include "format/record.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = Buffer::copy_of(std::as_bytes(std::span(data, size)));
  const auto record = format::decode_record(bytes);
  if (!record.ok()) return 0;
  std::size_t at = 0;
  for (const auto& part : format::encode_record(*record)) {
    SQ_CHECK(at + part.size() <= size && std::memcmp(part.data(), data + at, part.size()) == 0);
    at += part.size();
  }
  SQ_CHECK(at == size);
  if (const auto* carrier = std::get_if<format::OperationRecord>(&*record))
    format::chain_hash({}, carrier->operation);
  return 0;
}
