#include "format/coordination.hpp"

#include <catch2/catch.hpp>

#include "support/golden.hpp"

using namespace square;
using namespace square::format;

namespace {

CoordinatorState sample() {
  CoordinatorState state;
  state.identity.uuid.bytes.fill(0xc0);
  state.revision = 9;
  GroupRecord first;
  first.group = GroupId(1);
  first.revision = 9;
  first.incarnation = Incarnation(0x1c);
  first.epoch = {4, 0xe4};
  first.primary.uuid.bytes.fill(0xa1);
  first.replica.uuid.bytes.fill(0xa2);
  first.backup.uuid.bytes.fill(0xa3);
  first.in_sync = true;
  auto second = first;
  second.group = GroupId(2);
  second.revision = 5;
  second.in_sync = false;
  second.pending_loss = second.replica;
  state.groups = {first, second};
  return state;
}

}  // namespace

TEST_CASE("golden: the coordinator's state") {
  const auto bytes = encode_coordinator_state(sample());
  CHECK(test::hex_lines(bytes) == test::golden_hex("coordinator_state", bytes));
  CHECK(*decode_coordinator_state(test::golden_bytes("coordinator_state")) == sample());
}

TEST_CASE("a coordinator's state that was cut, changed or grew is corrupt") {
  const auto bytes = encode_coordinator_state(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK(decode_coordinator_state(Bytes(bytes).first(size)).code() == Code::kCorrupt);
  for (std::size_t at = 10; at < bytes.size(); ++at) {
    auto bad = bytes;
    bad[at] ^= std::byte{1};
    CHECK(decode_coordinator_state(bad).code() == Code::kCorrupt);
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(decode_coordinator_state(longer).code() == Code::kCorrupt);
}

TEST_CASE("a coordinator's state of a newer version is refused") {
  auto bytes = encode_coordinator_state({});
  bytes[8] = std::byte{2};
  CHECK(decode_coordinator_state(bytes).code() == Code::kUnsupported);
}

TEST_CASE("records out of order, or newer than the whole, are corrupt") {
  auto state = sample();
  std::swap(state.groups[0], state.groups[1]);
  CHECK(decode_coordinator_state(encode_coordinator_state(state)).code() == Code::kCorrupt);
  state = sample();
  state.revision = 8;
  CHECK(decode_coordinator_state(encode_coordinator_state(state)).code() == Code::kCorrupt);
  state.groups[0].revision = 0;
  CHECK(decode_coordinator_state(encode_coordinator_state(state)).code() == Code::kCorrupt);
}
