#include "format/index_keys.hpp"

namespace square::format {
namespace {

template <std::unsigned_integral T>
void put_big(std::string& out, T value) {
  for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<std::uint8_t>(value >> shift)));
}

template <std::unsigned_integral T>
T get_big(Bytes in, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value << 8 | std::to_integer<T>(in[at + i]));
  return value;
}

void put_generation(std::string& out, Generation generation) {
  put_big(out, generation.epoch);
  put_big(out, generation.counter);
}

struct Shape {
  bool lane = false, group = false;
  int numbers = 0;
};

// What follows a meta key's letter; nothing for a letter that no version has written.
std::optional<Shape> shape_of(MetaKey::Kind kind) {
  switch (kind) {
    case MetaKey::Kind::kVersion:
    case MetaKey::Kind::kCheckpoint: return Shape{};
    case MetaKey::Kind::kLane: return Shape{.lane = true};
    case MetaKey::Kind::kLanding:
    case MetaKey::Kind::kApplied: return Shape{.group = true};
    case MetaKey::Kind::kSnapshot:
    case MetaKey::Kind::kSession:
    case MetaKey::Kind::kPurge: return Shape{.group = true, .numbers = 1};
    case MetaKey::Kind::kSessionAt:
    case MetaKey::Kind::kRewritten:
    case MetaKey::Kind::kWritten: return Shape{.group = true, .numbers = 2};
  }
  return std::nullopt;
}

}  // namespace

std::string present_prefix(GroupId group) {
  std::string key;
  put_big(key, group.value);
  return key;
}

std::string history_prefix(GroupId group, Sequence snapshot) {
  auto key = present_prefix(group);
  put_big(key, snapshot.value);
  return key;
}

std::string volume_prefix(std::string_view table, VolumeId volume) {
  std::string key(table);
  put_big(key, volume.value);
  return key;
}

std::string range_key(std::string_view table, RangeKey range) {
  std::string key;
  key.reserve(table.size() + 16);
  key.append(table);
  put_big(key, range.volume.value);
  put_big(key, range.end);
  return key;
}

Result<RangeKey> parse_range_key(Bytes key, std::size_t table_size) {
  if (key.size() != table_size + 16) return Error{Code::kCorrupt, "index: key of a wrong size"};
  return RangeKey{VolumeId(get_big<std::uint64_t>(key, table_size)),
                  get_big<std::uint64_t>(key, table_size + 8)};
}

std::string record_key(GroupId group, std::string_view key) {
  return present_prefix(group).append(key);
}

std::string record_history_key(GroupId group, Sequence snapshot, std::string_view key) {
  return history_prefix(group, snapshot).append(key);
}

std::string stripe_prefix(SegmentId segment) {
  std::string key;
  put_big(key, segment.value);
  return key;
}

std::string stripe_key(SegmentId segment, Generation generation, std::uint32_t stripe_block) {
  auto key = segment_key(segment, generation);
  put_big(key, stripe_block);
  return key;
}

std::string segment_key(SegmentId segment, Generation generation) {
  auto key = stripe_prefix(segment);
  put_generation(key, generation);
  return key;
}

Result<std::pair<SegmentId, Generation>> parse_segment_key(Bytes key) {
  if (key.size() != 12) return Error{Code::kCorrupt, "index: segment key of a wrong size"};
  return std::pair(SegmentId(get_big<std::uint32_t>(key, 0)),
                   Generation{get_big<std::uint32_t>(key, 4), get_big<std::uint32_t>(key, 8)});
}

std::string encode(const MetaKey& meta) {
  const auto shape = shape_of(meta.kind);
  SQ_CHECK(shape.has_value());
  std::string key(1, static_cast<char>(meta.kind));
  if (shape->lane) put_big(key, static_cast<std::uint16_t>(meta.group.value));
  if (shape->group) put_big(key, meta.group.value);
  if (shape->numbers > 0) put_big(key, meta.first);
  if (shape->numbers > 1) put_big(key, meta.second);
  return key;
}

std::string meta_prefix(const MetaKey& meta) {
  auto key = encode(meta);
  SQ_CHECK(shape_of(meta.kind)->numbers == 2);
  key.resize(key.size() - 8);
  return key;
}

Result<MetaKey> decode_meta_key(Bytes key) {
  const Error bad{Code::kCorrupt, "index: meta key of a wrong shape"};
  if (key.empty()) return bad;
  MetaKey meta;
  meta.kind = static_cast<MetaKey::Kind>(key[0]);
  const auto shape = shape_of(meta.kind);
  if (!shape) return bad;
  const std::size_t head = 1 + (shape->lane ? 2u : 0u) + (shape->group ? 4u : 0u);
  if (key.size() != head + 8u * static_cast<unsigned>(shape->numbers)) return bad;
  if (shape->lane) meta.group = GroupId(get_big<std::uint16_t>(key, 1));
  if (shape->group) meta.group = GroupId(get_big<std::uint32_t>(key, 1));
  if (shape->numbers > 0) meta.first = get_big<std::uint64_t>(key, head);
  if (shape->numbers > 1) meta.second = get_big<std::uint64_t>(key, head + 8);
  return meta;
}

}  // namespace square::format
