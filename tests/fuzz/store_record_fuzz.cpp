// Every record that a group keeps about itself: the first byte chooses, the rest is the value. What
// decodes must encode to the same bytes; a sealed field opens under no key that did not seal it.
#include <cstdlib>

#include "format/store_records.hpp"

using namespace square;
using namespace square::format;

namespace {

template <class T>
void round_trip(Bytes bytes, const Result<T>& record) {
  if (!record.ok()) return;
  const auto again = encode(*record);
  if (as_text(Bytes(again)) != as_text(bytes)) std::abort();
}

void never_opens(const codec::SealedField& field) {
  if (codec::open_field(codec::SecretKey(), {1, GroupId(1), "vol/"}, field).ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: round_trip(bytes, decode_group_record(bytes)); break;
    case 1: round_trip(bytes, decode_seal_record(bytes)); break;
    case 2: round_trip(bytes, decode_session_record(bytes)); break;
    case 3: {
      const auto record = decode_snapshot_record(bytes);
      round_trip(bytes, record);
      if (record.ok()) never_opens(record->name);
      break;
    }
    case 4: {
      const auto record = decode_volume_record(bytes);
      round_trip(bytes, record);
      if (record.ok()) never_opens(record->name);
      break;
    }
    default: round_trip(bytes, decode_checkpoint_header(bytes)); break;
  }
  return 0;
}
