#include <limits>

#include "format/index_keys.hpp"
#include "format/varint.hpp"

namespace square::format {
namespace {

constexpr std::uint64_t kU16 = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint64_t kU32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kBlocksMax = std::numeric_limits<std::uint64_t>::max() / kBlockBytes;
constexpr std::uint64_t kPlainBlocksMax = kOperationBytesMax / kBlockBytes;

constexpr std::uint8_t kKindHole = 0, kKindExtent = 1;
constexpr std::uint8_t kSameHome = 1;  // a stripe's extent: group, volume and epoch as before it

std::uint32_t get_u32(Reader& in) { return static_cast<std::uint32_t>(get_varint(in, kU32)); }

void put_extent(Writer& out, const ExtentRef& extent) {
  put_varint(out, extent.id.epoch);
  put_varint(out, extent.id.sequence.value);
  put_varint(out, extent.id.index);
  put_varint(out, extent.plain_bytes / kBlockBytes);
  put_varint(out, extent.stored_bytes);
  out.put(extent.checksum);
  put(out, extent.digest);
  put_varint(out, extent.place.segment.value);
  put_varint(out, extent.place.generation.epoch);
  put_varint(out, extent.place.generation.counter);
  put_varint(out, extent.place.stripe_block);
  put_varint(out, extent.place.strip_blocks);
  put_varint(out, extent.place.byte_offset);
}

void get_extent(Reader& in, ExtentRef& extent) {
  extent.id.epoch = get_u32(in);
  extent.id.sequence = Sequence(get_varint(in));
  extent.id.index = static_cast<std::uint16_t>(get_varint(in, kU16));
  extent.plain_bytes = static_cast<std::uint32_t>(get_varint(in, kPlainBlocksMax) * kBlockBytes);
  extent.stored_bytes = get_u32(in);
  in.get(extent.checksum);
  get(in, extent.digest);
  extent.place.segment = SegmentId(get_u32(in));
  extent.place.generation.epoch = get_u32(in);
  extent.place.generation.counter = get_u32(in);
  extent.place.stripe_block = get_u32(in);
  extent.place.strip_blocks = static_cast<std::uint16_t>(get_varint(in, kU16));
  extent.place.byte_offset = get_u32(in);
}

template <class T>
Result<T> finish(const Reader& in, T value, const char* what) {
  if (in.finished()) return value;
  return Error{Code::kCorrupt, std::string("index: cannot decode ") + what};
}

// Extents lie in a stripe in order and mostly follow one another in volume and log too, so each is
// written as its difference from the one before.
class StripeExtentCoder {
 public:
  void put_next(Writer& out, const StripeExtent& extent) {
    const bool same = same_home(extent);
    out.put(same ? kSameHome : std::uint8_t{0});
    if (!same) {
      put_varint(out, extent.group.value);
      put_varint(out, extent.volume.value);
      put_varint(out, extent.id.epoch);
    }
    put_varint(out, zigzag(static_cast<std::int64_t>(extent.offset / kBlockBytes - next_block())));
    put_varint(out, extent.plain_bytes / kBlockBytes);
    put_varint(out, extent.stored_bytes);
    put_varint(
        out, zigzag(static_cast<std::int64_t>(extent.id.sequence.value - last_.id.sequence.value)));
    put_varint(out, extent.id.index);
    put_varint(out, static_cast<std::uint32_t>(extent.byte_offset - next_byte()));
    last_ = extent;
  }

  StripeExtent get_next(Reader& in) {
    StripeExtent extent;
    const auto flags = in.get<std::uint8_t>();
    if (flags > kSameHome) in.fail();
    if (flags == kSameHome) {
      extent.group = last_.group;
      extent.volume = last_.volume;
      extent.id.epoch = last_.id.epoch;
    } else {
      extent.group = GroupId(get_u32(in));
      extent.volume = VolumeId(get_varint(in));
      extent.id.epoch = get_u32(in);
      if (same_home(extent)) in.fail();  // one encoding for each value
    }
    const auto block = next_block() + static_cast<std::uint64_t>(unzigzag(get_varint(in)));
    if (block > kBlocksMax) in.fail();
    extent.offset = block * kBlockBytes;
    extent.plain_bytes = static_cast<std::uint32_t>(get_varint(in, kPlainBlocksMax) * kBlockBytes);
    extent.stored_bytes = get_u32(in);
    extent.id.sequence =
        Sequence(last_.id.sequence.value + static_cast<std::uint64_t>(unzigzag(get_varint(in))));
    extent.id.index = static_cast<std::uint16_t>(get_varint(in, kU16));
    extent.byte_offset = next_byte() + get_u32(in);
    last_ = extent;
    return extent;
  }

  static constexpr std::size_t kBytesMin = 7;

 private:
  bool same_home(const StripeExtent& extent) const {
    return extent.group == last_.group && extent.volume == last_.volume &&
           extent.id.epoch == last_.id.epoch;
  }
  std::uint64_t next_block() const { return (last_.offset + last_.plain_bytes) / kBlockBytes; }
  std::uint32_t next_byte() const { return last_.byte_offset + last_.stored_bytes; }

  StripeExtent last_;
};

}  // namespace

ByteVector encode(const RangeValue& value) {
  ByteVector bytes;
  bytes.reserve(64);
  Writer out(bytes);
  const auto& mapping = value.mapping;
  out.put(mapping.hole ? kKindHole : kKindExtent);
  put_varint(out, value.length / kBlockBytes);
  if (mapping.hole) {
    put_varint(out, mapping.hole_sequence.value);
    return bytes;
  }
  put_varint(out, mapping.extent_offset / kBlockBytes);
  put_extent(out, mapping.extent);
  return bytes;
}

Result<RangeValue> decode_range_value(Bytes bytes) {
  Reader in(bytes);
  RangeValue value;
  const auto kind = in.get<std::uint8_t>();
  if (kind > kKindExtent) in.fail();
  value.length = get_varint(in, kBlocksMax) * kBlockBytes;
  if (value.length == 0) in.fail();
  auto& mapping = value.mapping;
  mapping.hole = kind == kKindHole;
  if (mapping.hole) {
    mapping.hole_sequence = Sequence(get_varint(in));
  } else {
    const auto offset = get_varint(in, kPlainBlocksMax) * kBlockBytes;
    mapping.extent_offset = static_cast<std::uint32_t>(offset);
    get_extent(in, mapping.extent);
    if (value.length > mapping.extent.plain_bytes ||
        offset > mapping.extent.plain_bytes - value.length || !mapping.extent.place.placed())
      in.fail();
  }
  return finish(in, std::move(value), "a mapping");
}

ByteVector encode(const StripeDescriptor& stripe) {
  ByteVector bytes;
  Writer out(bytes);
  put_varint(out, stripe.segment.value);
  put_varint(out, stripe.generation.epoch);
  put_varint(out, stripe.generation.counter);
  put_varint(out, stripe.stripe_block);
  put_varint(out, stripe.strip_blocks);
  out.put(stripe.k);
  out.put(stripe.m);
  for (const auto slot : stripe.slots) put_varint(out, slot.value);
  for (const auto checksum : stripe.checksums) out.put(checksum);
  put_varint(out, stripe.extents.size());
  StripeExtentCoder coder;
  for (const auto& extent : stripe.extents) coder.put_next(out, extent);
  return bytes;
}

Result<StripeDescriptor> decode_stripe(Bytes bytes) {
  Reader in(bytes);
  StripeDescriptor stripe;
  stripe.segment = SegmentId(get_u32(in));
  stripe.generation.epoch = get_u32(in);
  stripe.generation.counter = get_u32(in);
  stripe.stripe_block = get_u32(in);
  stripe.strip_blocks = static_cast<std::uint16_t>(get_varint(in, kU16));
  in.get(stripe.k);
  in.get(stripe.m);
  const auto strips = static_cast<std::size_t>(stripe.k) + stripe.m;
  if (stripe.k == 0 || strips > kStripsMax || stripe.strip_blocks == 0) in.fail();
  if (in.ok()) {
    stripe.slots.resize(strips);
    stripe.checksums.resize(strips);
  }
  for (auto& slot : stripe.slots) slot = Slot(static_cast<std::uint16_t>(get_varint(in, kU16)));
  for (auto& checksum : stripe.checksums) in.get(checksum);
  const auto extents = get_varint(in);
  if (extents > in.left() / StripeExtentCoder::kBytesMin) in.fail();
  StripeExtentCoder coder;
  if (in.ok()) stripe.extents.reserve(extents);
  for (std::uint64_t i = 0; in.ok() && i < extents; ++i)
    stripe.extents.push_back(coder.get_next(in));
  return finish(in, std::move(stripe), "a stripe");
}

ByteVector encode(const SegmentRow& row) {
  ByteVector bytes;
  Writer out(bytes);
  put_varint(out, row.live_bytes);
  put_varint(out, row.total_bytes);
  return bytes;
}
Result<SegmentRow> decode_segment_row(Bytes bytes) {
  Reader in(bytes);
  SegmentRow row;
  row.live_bytes = get_varint(in);
  row.total_bytes = get_varint(in);
  return finish(in, row, "a segment's bytes");
}

ByteVector encode(const AppliedRow& row) {
  ByteVector bytes;
  Writer out(bytes);
  out.put(row.sequence);
  put(out, row.chain);
  return bytes;
}
Result<AppliedRow> decode_applied_row(Bytes bytes) {
  Reader in(bytes);
  AppliedRow row;
  in.get(row.sequence);
  get(in, row.chain);
  return finish(in, row, "an applied position");
}

ByteVector encode(const SnapshotRow& row) {
  ByteVector bytes;
  Writer out(bytes);
  put(out, row.id);
  out.put(row.wall_ns);
  out.put(static_cast<std::uint8_t>((row.hidden ? 1 : 0) | (row.rewrites ? 2 : 0)));
  if (row.rewrites) out.put(*row.rewrites);
  return bytes;
}
Result<SnapshotRow> decode_snapshot_row(Bytes bytes) {
  Reader in(bytes);
  SnapshotRow row;
  get(in, row.id);
  in.get(row.wall_ns);
  const auto flags = in.get<std::uint8_t>();
  if (flags > 3) in.fail();
  row.hidden = (flags & 1) != 0;
  if ((flags & 2) != 0) in.get(row.rewrites.emplace());
  return finish(in, row, "a snapshot");
}

void SessionRow::add(RequestNumber number) {
  const auto clear = [this](std::uint64_t n) {
    done[n % 1024 / 64] &= ~(std::uint64_t{1} << (n % 64));
  };
  if (number > highest) {
    const bool jump = number.value - highest.value >= 1024;
    for (auto n = jump ? number.value - 1023 : highest.value + 1; n <= number.value; ++n) clear(n);
    highest = number;
  }
  if (!forgotten(number)) done[number.value % 1024 / 64] |= std::uint64_t{1} << (number.value % 64);
}

bool SessionRow::contains(RequestNumber number) const {
  return number <= highest && !forgotten(number) &&
         (done[number.value % 1024 / 64] >> (number.value % 64) & 1) != 0;
}

ByteVector encode(const SessionRow& row) {
  ByteVector bytes;
  Writer out(bytes);
  out.put(row.highest);
  for (const auto word : row.done) out.put(word);
  return bytes;
}
Result<SessionRow> decode_session_row(Bytes bytes) {
  Reader in(bytes);
  SessionRow row;
  in.get(row.highest);
  for (auto& word : row.done) in.get(word);
  return finish(in, row, "a session");
}

ByteVector encode(const LanePoint& point) {
  ByteVector bytes;
  Writer out(bytes);
  put(out, point);
  return bytes;
}
Result<LanePoint> decode_lane_point(Bytes bytes) {
  Reader in(bytes);
  LanePoint point;
  get(in, point);
  return finish(in, point, "a lane's point");
}

ByteVector encode(const CheckpointId& id) {
  ByteVector bytes;
  Writer out(bytes);
  put(out, id);
  return bytes;
}
Result<CheckpointId> decode_checkpoint_id(Bytes bytes) {
  Reader in(bytes);
  CheckpointId id;
  get(in, id);
  return finish(in, id, "a checkpoint's id");
}

ByteVector encode(const LandingRow& row) {
  ByteVector bytes;
  Writer out(bytes);
  out.put(static_cast<std::uint8_t>(row.phase));
  out.put(static_cast<std::uint8_t>(row.base.has_value()));
  if (row.base) put(out, *row.base);
  put(out, row.target);
  put(out, row.cursor);
  out.put(row.came_with);
  return bytes;
}
Result<LandingRow> decode_landing_row(Bytes bytes) {
  Reader in(bytes);
  LandingRow row;
  const auto phase = in.get<std::uint8_t>();
  const auto with_base = in.get<std::uint8_t>();
  if (phase > static_cast<std::uint8_t>(LandingRow::Phase::kReverting) || with_base > 1) in.fail();
  row.phase = static_cast<LandingRow::Phase>(phase);
  if (with_base == 1) get(in, row.base.emplace());
  get(in, row.target);
  get(in, row.cursor);
  in.get(row.came_with);
  return finish(in, std::move(row), "a landing");
}

ByteVector encode(const WrittenPage& page) {
  ByteVector bytes;
  Writer out(bytes);
  for (const auto word : page) out.put(word);
  return bytes;
}
Result<WrittenPage> decode_written_page(Bytes bytes) {
  Reader in(bytes);
  WrittenPage page{};
  for (auto& word : page) in.get(word);
  return finish(in, page, "a page of the written-map");
}

ByteVector encode_rewritten(Sequence last) {
  ByteVector bytes;
  Writer(bytes).put(last);
  return bytes;
}
Result<Sequence> decode_rewritten(Bytes bytes) {
  Reader in(bytes);
  Sequence last;
  in.get(last);
  return finish(in, last, "a rewritten leaf");
}

ByteVector encode_record_history(const std::optional<ByteVector>& value) {
  ByteVector bytes;
  Writer out(bytes);
  out.put(static_cast<std::uint8_t>(value.has_value()));
  if (value) out.put_raw(*value);
  return bytes;
}
Result<std::optional<ByteVector>> decode_record_history(Bytes bytes) {
  Reader in(bytes);
  const auto there = in.get<std::uint8_t>();
  if (there > 1 || (there == 0 && in.left() != 0)) in.fail();
  std::optional<ByteVector> value;
  const auto raw = in.get_raw(in.left());
  if (there == 1) value.emplace(raw.begin(), raw.end());
  return finish(in, std::move(value), "a record's history");
}

}  // namespace square::format
