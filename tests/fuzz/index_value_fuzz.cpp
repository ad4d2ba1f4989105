// Every decoder of the index: the first byte chooses, the rest is the value. What decodes must
// encode to the same bytes.
#include <cstdlib>

#include "format/index_keys.hpp"

using namespace square;
using namespace square::format;

namespace {

template <class T, class Encode>
void round_trip(Bytes bytes, const Result<T>& value, const Encode& encode_again) {
  if (!value.ok()) return;
  const auto again = encode_again(*value);
  if (as_text(Bytes(again)) != as_text(bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const auto plain = [](const auto& value) { return encode(value); };
  switch (data[0] % 13) {
    case 0: round_trip(bytes, decode_range_value(bytes), plain); break;
    case 1: round_trip(bytes, decode_stripe(bytes), plain); break;
    case 2: round_trip(bytes, decode_segment_row(bytes), plain); break;
    case 3: round_trip(bytes, decode_applied_row(bytes), plain); break;
    case 4: round_trip(bytes, decode_snapshot_row(bytes), plain); break;
    case 5: round_trip(bytes, decode_session_row(bytes), plain); break;
    case 6: round_trip(bytes, decode_lane_point(bytes), plain); break;
    case 7: round_trip(bytes, decode_written_page(bytes), plain); break;
    case 8:
      round_trip(bytes, decode_record_history(bytes),
                 [](const auto& value) { return encode_record_history(value); });
      break;
    case 10:
      round_trip(bytes, decode_rewritten(bytes),
                 [](const auto& value) { return encode_rewritten(value); });
      break;
    case 11: round_trip(bytes, decode_checkpoint_id(bytes), plain); break;
    case 12: round_trip(bytes, decode_landing_row(bytes), plain); break;
    default: {
      const auto key = decode_meta_key(bytes);
      if (key.ok() && encode(*key) != as_text(bytes)) std::abort();
      if (const auto range = parse_range_key(bytes, 4); range.ok() && bytes.size() != 20)
        std::abort();
    }
  }
  return 0;
}
