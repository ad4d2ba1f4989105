// Any bytes as a disk's label. Its checksum is made right first: the decoder behind it is what is
// tested. What decodes encodes to the same bytes.
#include "codec/checksum.hpp"
#include "format/label.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  ignore(format::decode_label(input), "only must not crash");
  ByteVector block(input.begin(), input.end());
  block.resize(format::kLabelBytes);
  const auto body = Bytes(block).first(format::kLabelBytes - 8);
  Writer(block).patch(format::kLabelBytes - 8, codec::checksum64(body));
  const auto label = format::decode_label(block);
  if (!label.ok()) return 0;
  SQ_CHECK(format::encode_label(*label) == block);
  return 0;
}
