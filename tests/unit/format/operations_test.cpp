#include "format/operations.hpp"

#include <catch2/catch.hpp>

#include "support/golden.hpp"

using namespace square;
using namespace square::format;

namespace {

std::vector<LongOperation> sample() {
  LongOperation running;
  running.id = "scrub-1f03a9c2";
  running.kind = "scrub";
  running.began_wall_ns = 1'700'000'000'000'000'000;
  running.restarts = 1;
  running.done_bytes = 1u << 20;
  running.total_bytes = 1u << 30;
  running.corruptions_found = running.corruptions_repaired = 2;
  running.cursor = SegmentId(17);
  auto failed = running;
  failed.id = "scrub-00000001";
  failed.state = LongOperationState::kFailed;
  failed.message = "1 stripes are lost";
  failed.ended_wall_ns = running.began_wall_ns + 5;
  failed.stripes_lost = 1;
  LongOperation retire;
  retire.id = "retire-00000002";
  retire.kind = "retire";
  retire.slot = Slot(3);
  retire.disk.uuid.bytes.fill(0xd3);
  return {running, failed, retire};
}

}  // namespace

TEST_CASE("golden: a list of operations") {
  const auto bytes = encode_operations(sample());
  CHECK(test::hex_lines(bytes) == test::golden_hex("operations", bytes));
  CHECK(*decode_operations(test::golden_bytes("operations")) == sample());
}

TEST_CASE("golden: a list of operations of the version before") {
  auto without_disks = sample();
  without_disks.pop_back();
  CHECK(*decode_operations(test::golden_bytes("operations_v1")) == without_disks);
}

TEST_CASE("a list of operations that was cut, changed or grew is corrupt") {
  const auto bytes = encode_operations(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK(decode_operations(Bytes(bytes).first(size)).code() == Code::kCorrupt);
  for (std::size_t at = 10; at < bytes.size(); ++at) {
    auto bad = bytes;
    bad[at] ^= std::byte{1};
    CHECK(decode_operations(bad).code() == Code::kCorrupt);
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(decode_operations(longer).code() == Code::kCorrupt);
}

TEST_CASE("a list of operations of a newer version is refused") {
  auto bytes = encode_operations({});
  bytes[8] = std::byte{3};
  CHECK(decode_operations(bytes).code() == Code::kUnsupported);
}

TEST_CASE("no more operations are written than are read") {
  const std::vector<LongOperation> many(kOperationsMax + 1, sample()[0]);
  CHECK(decode_operations(encode_operations(many))->size() == kOperationsMax);
}
