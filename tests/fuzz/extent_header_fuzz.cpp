// Any bytes as a stored extent: decoding never reads outside, and what decodes encodes to the same.
#include "codec/extent_header.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes stored = std::as_bytes(std::span(data, size));
  const auto header = codec::decode_extent_header(stored);
  if (header.ok()) {
    ByteVector encoded;
    codec::encode_extent_header(*header, encoded);
    SQ_CHECK(std::memcmp(encoded.data() + 8, stored.data() + 8, encoded.size() - 8) == 0);
  }
  ExtentRef expected;
  expected.stored_bytes = static_cast<std::uint32_t>(size);
  if (size >= 8) expected.checksum = Reader(stored).get<std::uint64_t>();
  if (header.ok()) {
    expected.id = header->identity.id;
    expected.plain_bytes = header->identity.plain_bytes;
    if (header->stored_bytes == size) expected.digest = codec::extent_digest(stored, *header);
  }
  ignore(codec::verify_stored(stored, expected), "any answer but a crash is right");
  return 0;
}
