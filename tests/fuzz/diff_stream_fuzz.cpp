// Any bytes as a stream of a diff. Taken as they are, they only must not crash. As bodies, each
// {u8 kind, u32 length, bytes}, they are framed as a source would: what decodes encodes to the same
// bytes, and the decoder of a stream looks at their order.
#include "format/diff_stream.hpp"

using namespace square;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  format::DiffDecoder raw;
  ignore(raw.next(input), "only must not crash");

  format::DiffEncoder encoder;
  format::DiffDecoder decoder;
  Reader in(input);
  while (in.ok() && in.left() > 0) {
    const auto kind = in.get<std::uint8_t>();
    const auto body = in.get_sized();
    const auto piece = format::decode_diff_body(kind, body);
    if (!piece.ok()) continue;
    const auto again = format::encode_diff_body(*piece);
    SQ_CHECK(as_text(again) == as_text(body));
    const auto taken = decoder.next(encoder.next(*piece));
    if (taken.ok()) SQ_CHECK(*taken == *piece);
  }
  return 0;
}
