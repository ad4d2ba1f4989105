#include "base/extent.hpp"

namespace square {

void put(Writer& out, const std::array<std::byte, 16>& hash) { out.put_raw(hash); }
void get(Reader& in, std::array<std::byte, 16>& hash) {
  const auto raw = in.get_raw(hash.size());
  if (raw.size() == hash.size()) std::memcpy(hash.data(), raw.data(), raw.size());
}

void put(Writer& out, const ExtentId& id) {
  out.put(id.epoch);
  out.put(id.sequence);
  out.put(id.index);
}
void get(Reader& in, ExtentId& id) {
  in.get(id.epoch);
  in.get(id.sequence);
  in.get(id.index);
}

void put(Writer& out, const Generation& generation) {
  out.put(generation.epoch);
  out.put(generation.counter);
}
void get(Reader& in, Generation& generation) {
  in.get(generation.epoch);
  in.get(generation.counter);
}

void put(Writer& out, const Place& place) {
  out.put(place.segment);
  put(out, place.generation);
  out.put(place.stripe_block);
  out.put(place.strip_blocks);
  out.put(place.byte_offset);
}
void get(Reader& in, Place& place) {
  in.get(place.segment);
  get(in, place.generation);
  in.get(place.stripe_block);
  in.get(place.strip_blocks);
  in.get(place.byte_offset);
}

void put(Writer& out, const ExtentRef& extent) {
  put(out, extent.id);
  out.put(extent.plain_bytes);
  out.put(extent.stored_bytes);
  out.put(extent.checksum);
  put(out, extent.digest);
  put(out, extent.place);
}
void get(Reader& in, ExtentRef& extent) {
  get(in, extent.id);
  in.get(extent.plain_bytes);
  in.get(extent.stored_bytes);
  in.get(extent.checksum);
  get(in, extent.digest);
  get(in, extent.place);
  if (extent.plain_bytes == 0 || extent.plain_bytes > kOperationBytesMax ||
      extent.plain_bytes % kBlockBytes != 0)
    in.fail();
}

}  // namespace square
