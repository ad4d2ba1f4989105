// Any bytes as a key store's file. The checksum behind them is made right first: the decoder behind
// it is what is tested.
#include "codec/checksum.hpp"
#include "codec/key_file.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  ignore(codec::decode_single_key(codec::SingleKey::kRoot, input), "only must not crash");
  ignore(codec::decode_key_file(input), "only must not crash");
  if (size < 8) return 0;
  ByteVector bytes(input.begin(), input.end() - 8);
  Writer(bytes).put(codec::checksum64(bytes));
  const auto file = codec::decode_key_file(bytes);
  if (file.ok()) SQ_CHECK(codec::encode_key_file(*file) == bytes);
  ignore(codec::decode_single_key(codec::SingleKey::kRoot, bytes), "only must not crash");
  return 0;
}
