#include "format/record.hpp"

#include <catch2/catch.hpp>
#include <functional>

#include "unit/format/record_samples.hpp"

using namespace square;
using namespace square::format;
using namespace square::test;

namespace {

// Decoded and encoded again: the same bytes. Says more than a comparison of fields does.
ByteVector bytes_of(const LaneRecord& record) {
  const auto whole = joined(encode_record(record));
  return {whole.bytes().begin(), whole.bytes().end()};
}

Buffer record_with(OperationType type, const std::function<void(Buffer&)>& change) {
  auto bytes = joined(encode_record(sample_operation_record(type)));
  change(bytes);
  return bytes;
}

template <class T>
void patch(Buffer& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// Where fields lie, from docs/formats/record.md.
constexpr std::size_t kTypeAt = 12, kBodyAt = 12 + 81, kCountAt = kBodyAt + 8;
constexpr std::size_t kExtentAt = kCountAt + 4, kExtentBytes = 76;
constexpr std::size_t kPlainAt = kExtentAt + 8 + 14, kStoredAt = kPlainAt + 4;

}  // namespace

TEST_CASE("every record decodes to what was encoded, whatever its kind") {
  for (const auto& [name, record] : sample_records()) {
    INFO(name);
    const auto bytes = joined(encode_record(record));
    auto decoded = decode_record(bytes);
    REQUIRE(decoded.ok());
    CHECK(decoded->index() == record.index());
    CHECK(bytes_of(*decoded) == bytes_of(record));
    if (const auto* operation = std::get_if<OperationRecord>(&record))
      CHECK(std::get<OperationRecord>(*decoded).operation == operation->operation);
    if (const auto* placement = std::get_if<PlacementRecord>(&record)) {
      CHECK(std::get<PlacementRecord>(*decoded).operations == placement->operations);
      CHECK(std::get<PlacementRecord>(*decoded).stripes == placement->stripes);
    }
    if (const auto* move = std::get_if<MoveRecord>(&record))
      CHECK(std::get<MoveRecord>(*decoded).extents == move->extents);
  }
}

TEST_CASE("payload travels without being copied, out and in") {
  const auto record = sample_operation_record(OperationType::kWrite);
  const auto chain = encode_record(record);
  REQUIRE(chain.size() == 3);
  CHECK(chain[1].data() == record.payload[0].data());
  const auto bytes = joined(chain);
  const auto decoded = decode_record(bytes);
  REQUIRE(decoded.ok());
  const auto& payload = std::get<OperationRecord>(*decoded).payload;
  REQUIRE(payload.size() == 2);
  CHECK(payload[0].data() == bytes.data() + chain[0].size());
  CHECK(payload[1].size() == record.payload[1].size());
  CHECK(payload[1].data()[0] == std::byte{0xe1});
}

TEST_CASE("an extent that has a place carries no payload in the record") {
  OperationRecord record{sample_operation(OperationType::kWrite, true), {}};
  const auto decoded = decode_record(joined(encode_record(record)));
  REQUIRE(decoded.ok());
  CHECK(std::get<OperationRecord>(*decoded).payload.empty());
}

TEST_CASE("a record cut short anywhere is corrupt") {
  for (const auto& [name, record] : sample_records()) {
    const auto bytes = joined(encode_record(record));
    for (std::size_t size = 0; size < bytes.size(); size += size < 400 ? 1 : 997) {
      INFO(name << " cut to " << size);
      CHECK(decode_record(Buffer::copy_of(bytes.bytes().first(size))).code() == Code::kCorrupt);
    }
  }
}

TEST_CASE("a record with bytes behind it is corrupt") {
  for (const auto& [name, record] : sample_records()) {
    INFO(name);
    const auto bytes = joined(encode_record(record));
    auto longer = Buffer::zeroed(bytes.size() + 1);
    std::memcpy(longer.data(), bytes.data(), bytes.size());
    CHECK(decode_record(longer).code() == Code::kCorrupt);
    // Also when its lengths claim them, as body or as payload.
    for (const std::size_t field : {4, 8}) {
      auto claimed = Buffer::copy_of(longer.bytes());
      std::uint32_t length = 0;
      std::memcpy(&length, claimed.data() + field, sizeof(length));
      patch(claimed, field, length + 1);
      CHECK(decode_record(claimed).code() == Code::kCorrupt);
    }
  }
}

TEST_CASE("an unknown kind, version, flag or operation type is refused as unsupported") {
  using enum OperationType;
  const auto code = [](OperationType type, std::size_t at, std::uint8_t value) {
    return decode_record(record_with(type, [&](Buffer& bytes) { patch(bytes, at, value); })).code();
  };
  CHECK(code(kWrite, 0, 6) == Code::kUnsupported);
  CHECK(code(kWrite, 0, 0) == Code::kUnsupported);
  CHECK(code(kWrite, 1, 2) == Code::kUnsupported);
  CHECK(code(kWrite, 2, 1) == Code::kUnsupported);
  CHECK(code(kVoid, kTypeAt, 12) == Code::kUnsupported);
  CHECK(code(kVoid, kTypeAt, 0) == Code::kUnsupported);
}

TEST_CASE("extents that no encoder writes are corrupt") {
  using enum OperationType;
  const auto code = [](auto&& change) { return decode_record(record_with(kWrite, change)).code(); };
  CHECK(code([](Buffer& b) { patch(b, kCountAt, 0xffffffffu); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kCountAt, 3u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kCountAt, 1u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kExtentAt, std::uint64_t{8193}); }) == Code::kCorrupt);
  // The first extent would reach into the second, or begin behind it.
  CHECK(code([](Buffer& b) { patch(b, kExtentAt, std::uint64_t{16384}); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kPlainAt, 16384u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kPlainAt, 0u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kPlainAt, 100u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kPlainAt, 2u << 20); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kStoredAt, 0u); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kStoredAt, 0xffffffffu); }) == Code::kCorrupt);
  CHECK(code([](Buffer& b) { patch(b, kStoredAt, 4203u); }) == Code::kCorrupt);
  // The last one would end beyond the last address.
  CHECK(code([](Buffer& b) { patch(b, kExtentAt + kExtentBytes, ~std::uint64_t{4095}); }) ==
        Code::kCorrupt);
}

TEST_CASE("one operation holds at most 1 MiB of content") {
  auto record = sample_operation_record(OperationType::kWrite);
  auto& extents = std::get<WriteBody>(record.operation.body).extents;
  extents = {{0, sample_extent(0, 1u << 19, true)}, {1u << 19, sample_extent(1, 1u << 19, true)}};
  record.payload.clear();
  auto bytes = joined(encode_record(record));
  REQUIRE(decode_record(bytes).ok());
  patch(bytes, kPlainAt + kExtentBytes, (1u << 19) + 4096u);
  CHECK(decode_record(bytes).code() == Code::kCorrupt);
}

TEST_CASE("holes, keys and values keep to their limits") {
  using enum OperationType;
  const auto code = [](OperationType type, auto&& change) {
    return decode_record(record_with(type, change)).code();
  };
  CHECK(code(kHole, [](Buffer& b) { patch(b, kBodyAt + 8, std::uint64_t{1}); }) == Code::kCorrupt);
  CHECK(code(kHole, [](Buffer& b) { patch(b, kBodyAt + 16, std::uint64_t{0}); }) == Code::kCorrupt);
  CHECK(code(kHole, [](Buffer& b) { patch(b, kBodyAt + 16, std::uint64_t{512}); }) ==
        Code::kCorrupt);
  CHECK(code(kHole, [](Buffer& b) { patch(b, kBodyAt + 16, ~std::uint64_t{4095}); }) ==
        Code::kCorrupt);

  auto record = sample_operation_record(kPutRecord);
  auto& body = std::get<RecordBody>(record.operation.body);
  body = {std::string(512, 'k'), ByteVector(65536)};
  auto bytes = joined(encode_record(record));
  REQUIRE(decode_record(bytes).ok());
  // One byte more of either, with lengths that add up.
  for (const bool key_too_long : {true, false}) {
    auto longer = Buffer::zeroed(bytes.size() + 1);
    std::memcpy(longer.data(), bytes.data(), bytes.size());
    patch(longer, 4, static_cast<std::uint32_t>(longer.size()));
    if (key_too_long) {
      patch(longer, kBodyAt, 513u);
      patch(longer, kBodyAt + 4 + 513, 65536u);
    } else {
      patch(longer, kBodyAt + 4 + 512, 65537u);
    }
    const auto decoded = decode_record(longer);
    REQUIRE_FALSE(decoded.ok());
    CHECK(decoded.error().message ==
          (key_too_long ? "record: key is too long" : "record: value is too long"));
  }
  // A deletion is a key alone.
  CHECK(code(kPutRecord, [](Buffer& b) {
          patch(b, kTypeAt, static_cast<std::uint8_t>(kDeleteRecord));
        }) == Code::kCorrupt);
}

TEST_CASE("direct and placement records name a place for every extent, without gaps") {
  const auto direct = DirectRecord{sample_operation(OperationType::kWrite, true), {}};
  auto bytes = joined(encode_record(direct));
  patch(bytes, kExtentAt + kExtentBytes - 22 + 16, std::uint16_t{0});  // strip_blocks: not placed
  CHECK(decode_record(bytes).code() == Code::kCorrupt);

  const auto placement = joined(encode_record(sample_placement()));
  constexpr std::size_t kFirst = 12 + 4 + 4;
  auto other_group = Buffer::copy_of(placement.bytes());
  patch(other_group, kFirst + 1, 2u);
  CHECK(decode_record(other_group).code() == Code::kCorrupt);
  auto gap = Buffer::copy_of(placement.bytes());
  patch(gap, kFirst + 25, std::uint64_t{1000});
  CHECK(decode_record(gap).code() == Code::kCorrupt);
  auto count = Buffer::copy_of(placement.bytes());
  patch(count, 16, 0x10000000u);
  CHECK(decode_record(count).code() == Code::kCorrupt);
}

TEST_CASE("moves have both places, and whole blocks") {
  const auto move = joined(encode_record(sample_move()));
  for (const std::size_t at : {16 + 46 + 16, 16 + 68 + 16}) {
    auto unplaced = Buffer::copy_of(move.bytes());
    patch(unplaced, at, std::uint16_t{0});
    CHECK(decode_record(unplaced).code() == Code::kCorrupt);
  }
  auto odd = Buffer::copy_of(move.bytes());
  patch(odd, 16 + 68 + 22 + 12, std::uint64_t{8193});
  CHECK(decode_record(odd).code() == Code::kCorrupt);
}

TEST_CASE("a stripe with impossible strips is corrupt wherever it stands") {
  const auto record = LaneRecord(MoveRecord{{}, {sample_stripe()}});
  const auto bytes = joined(encode_record(record));
  constexpr std::size_t kStripe = 12 + 4 + 4;
  for (const auto& [at, value] : std::vector<std::pair<std::size_t, std::uint8_t>>{
           {kStripe + 18, 0}, {kStripe + 18, 33}, {kStripe + 16, 0}, {kStripe + 19, 250}}) {
    auto changed = Buffer::copy_of(bytes.bytes());
    patch(changed, at, value);
    INFO(at << " = " << int{value});
    CHECK(decode_record(changed).code() == Code::kCorrupt);
  }
}

TEST_CASE("the chain hash ignores commit and places, and nothing else") {
  using enum OperationType;
  const auto before = hash_of(1);
  for (const auto& [name, type] : operation_types()) {
    INFO(name);
    const auto operation = sample_operation(type);
    const auto hash = chain_hash(before, operation);
    CHECK(chain_hash(before, sample_operation(type, true)) == hash);
    CHECK(chain_hash(hash_of(2), operation) != hash);
    const auto differs = [&](auto&& change) {
      auto changed = operation;
      change(changed);
      return chain_hash(before, changed) != hash;
    };
    CHECK_FALSE(differs([](Operation& o) { o.commit = Sequence(999); }));
    CHECK_FALSE(differs([](Operation& o) { o.chain = hash_of(9); }));
    CHECK(differs([](Operation& o) { o.group = GroupId(2); }));
    CHECK(differs([](Operation& o) { o.incarnation = Incarnation(2); }));
    CHECK(differs([](Operation& o) { o.epoch.number++; }));
    CHECK(differs([](Operation& o) { o.epoch.random++; }));
    CHECK(differs([](Operation& o) { o.sequence = o.sequence.next(); }));
    CHECK(differs([](Operation& o) { o.session = SessionId(1); }));
    CHECK(differs([](Operation& o) { o.request = RequestNumber(1); }));
    CHECK(differs([](Operation& o) { o.wall_ns++; }));
  }
  const auto write = sample_operation(kRewrite);
  const auto hash = chain_hash(before, write);
  const auto differs = [&](auto&& change) {
    auto changed = write;
    change(std::get<WriteBody>(changed.body));
    return chain_hash(before, changed) != hash;
  };
  CHECK(differs([](WriteBody& b) { b.volume = VolumeId(6); }));
  CHECK(differs([](WriteBody& b) { b.extents[1].offset += 4096; }));
  CHECK(differs([](WriteBody& b) { b.extents[1].extent.id.index++; }));
  CHECK(differs([](WriteBody& b) { b.extents[1].extent.plain_bytes += 4096; }));
  CHECK(differs([](WriteBody& b) { b.extents[1].extent.stored_bytes++; }));
  CHECK(differs([](WriteBody& b) { b.extents[1].extent.checksum++; }));
  CHECK(differs([](WriteBody& b) { b.extents[1].extent.digest = hash_of(0); }));
  CHECK(differs([](WriteBody& b) { b.expected[1].index++; }));
  auto as_write = sample_operation(kWrite);
  CHECK(chain_hash(before, as_write) != hash);
}
