// Any bytes as a checkpoint's manifest. Its checksum is made right first: the decoder behind it is
// what is tested. What decodes encodes to the same bytes.
#include "codec/checksum.hpp"
#include "format/checkpoint.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  ignore(format::decode_manifest(input), "only must not crash");
  if (size < 8) return 0;
  ByteVector bytes(input.begin(), input.end() - 8);
  const auto sum = codec::checksum64(bytes);
  Writer(bytes).put(sum);
  const auto manifest = format::decode_manifest(bytes);
  if (manifest.ok()) SQ_CHECK(format::encode_manifest(*manifest) == bytes);
  return 0;
}
