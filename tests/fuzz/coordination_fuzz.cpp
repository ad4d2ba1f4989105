// Any bytes as the coordinator's state, as they are and with the checksum made right. What decodes
// encodes to the same bytes.
#include <algorithm>

#include "codec/checksum.hpp"
#include "format/coordination.hpp"

using namespace square;

namespace {

void check(Bytes bytes) {
  const auto state = format::decode_coordinator_state(bytes);
  if (state.ok())
    SQ_CHECK(std::ranges::equal(format::encode_coordinator_state(*state), bytes),
             "encodes otherwise");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  check(input);
  if (size < 8) return 0;
  ByteVector bytes(input.begin(), input.end());
  Writer(bytes).patch(size - 8, codec::checksum64(input.first(size - 8)));
  check(bytes);
  return 0;
}
