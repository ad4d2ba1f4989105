#include "format/types.hpp"

namespace square::format {
namespace {

constexpr std::size_t kStripeExtentBytes = 4 + 8 + 8 + 4 + 4 + 14 + 4;

}  // namespace

void put(Writer& out, const StripeExtent& extent) {
  out.put(extent.group);
  out.put(extent.volume);
  out.put(extent.offset);
  out.put(extent.plain_bytes);
  out.put(extent.stored_bytes);
  put(out, extent.id);
  out.put(extent.byte_offset);
}
void get(Reader& in, StripeExtent& extent) {
  in.get(extent.group);
  in.get(extent.volume);
  in.get(extent.offset);
  in.get(extent.plain_bytes);
  in.get(extent.stored_bytes);
  get(in, extent.id);
  in.get(extent.byte_offset);
}

void put(Writer& out, const StripeDescriptor& stripe) {
  out.put(stripe.segment);
  put(out, stripe.generation);
  out.put(stripe.stripe_block);
  out.put(stripe.strip_blocks);
  out.put(stripe.k);
  out.put(stripe.m);
  for (const auto slot : stripe.slots) out.put(slot);
  for (const auto checksum : stripe.checksums) out.put(checksum);
  out.put(static_cast<std::uint32_t>(stripe.extents.size()));
  for (const auto& extent : stripe.extents) put(out, extent);
}
void get(Reader& in, StripeDescriptor& stripe) {
  in.get(stripe.segment);
  get(in, stripe.generation);
  in.get(stripe.stripe_block);
  in.get(stripe.strip_blocks);
  in.get(stripe.k);
  in.get(stripe.m);
  const auto strips = static_cast<std::size_t>(stripe.k) + stripe.m;
  if (stripe.k == 0 || strips > kStripsMax || stripe.strip_blocks == 0) return in.fail();
  stripe.slots.resize(strips);
  for (auto& slot : stripe.slots) in.get(slot);
  stripe.checksums.resize(strips);
  for (auto& checksum : stripe.checksums) in.get(checksum);
  const auto extents = in.get<std::uint32_t>();
  if (extents > in.left() / kStripeExtentBytes) return in.fail();
  stripe.extents.resize(extents);
  for (auto& extent : stripe.extents) get(in, extent);
}

void put(Writer& out, const Mapping& mapping) {
  out.put(static_cast<std::uint8_t>(mapping.hole ? 0 : 1));
  if (mapping.hole) return out.put(mapping.hole_sequence);
  put(out, mapping.extent);
  out.put(mapping.extent_offset);
}
void get(Reader& in, Mapping& mapping) {
  const auto kind = in.get<std::uint8_t>();
  if (kind > 1) return in.fail();
  mapping.hole = kind == 0;
  if (mapping.hole) return in.get(mapping.hole_sequence);
  get(in, mapping.extent);
  in.get(mapping.extent_offset);
  if (mapping.extent_offset % kBlockBytes != 0 ||
      mapping.extent_offset >= mapping.extent.plain_bytes)
    in.fail();
}

void put(Writer& out, const SnapshotId& id) {
  out.put(id.incarnation);
  out.put(id.epoch);
  out.put(id.sequence);
  put(out, id.chain);
}
void get(Reader& in, SnapshotId& id) {
  in.get(id.incarnation);
  in.get(id.epoch);
  in.get(id.sequence);
  get(in, id.chain);
}

void put(Writer& out, const CheckpointId& id) {
  out.put(id.epoch);
  out.put(id.number);
}
void get(Reader& in, CheckpointId& id) {
  in.get(id.epoch);
  in.get(id.number);
}

void put(Writer& out, const LanePoint& point) {
  out.put(point.position);
  put(out, point.chain);
}
void get(Reader& in, LanePoint& point) {
  in.get(point.position);
  get(in, point.chain);
}

void put(Writer& out, const DiffBase& base) {
  put(out, base.snapshot);
  out.put(base.rewrites_from);
}
void get(Reader& in, DiffBase& base) {
  get(in, base.snapshot);
  in.get(base.rewrites_from);
  if (base.rewrites_from < base.snapshot.sequence) in.fail();
}

void put(Writer& out, const DiffCursor& cursor) {
  out.put(cursor.volume);
  out.put(cursor.offset);
}
void get(Reader& in, DiffCursor& cursor) {
  in.get(cursor.volume);
  in.get(cursor.offset);
  if (cursor.offset % kBlockBytes != 0) in.fail();
}

}  // namespace square::format
