// Any bytes as a segment's summary and as its footer. The checksum is made right first: the
// decoders behind it are what is tested. What decodes encodes to the same bytes.
#include "codec/checksum.hpp"
#include "format/summary.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  ignore(format::decode_summary(input), "only must not crash");
  ignore(format::decode_footer(input), "only must not crash");
  if (size < 8) return 0;
  ByteVector bytes(input.begin(), input.end() - 8);
  const auto sum = codec::checksum64(bytes);
  Writer(bytes).put(sum);
  const auto summary = format::decode_summary(bytes);
  if (summary.ok()) SQ_CHECK(format::encode_summary(*summary) == bytes);

  ByteVector block(input.begin(), input.end());
  block.resize(kBlockBytes - 8);
  const auto block_sum = codec::checksum64(block);
  Writer(block).put(block_sum);
  const auto footer = format::decode_footer(block);
  if (footer.ok()) SQ_CHECK(format::encode_footer(*footer) == block);
  return 0;
}
