#include "format/state_root.hpp"

#include <catch2/catch.hpp>

#include "support/golden.hpp"

using namespace square;
using namespace square::format;
using test::golden_hex;
using test::hex_lines;

namespace {

Digest digest_of(std::uint8_t first) {
  Digest digest;
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::byte>(first + i);
  return digest;
}

StateHash filled(std::uint8_t value) {
  StateHash hash;
  hash.fill(static_cast<std::byte>(value));
  return hash;
}

}  // namespace

TEST_CASE("golden bytes of what a state root is the hash of") {
  const std::vector<LeafPiece> leaf{{0x100000, 8192, {3, Sequence(1000), 2}, 4096, digest_of(0xa0)},
                                    {0x180000, 4096, {3, Sequence(1001), 0}, 0, digest_of(0xb0)}};
  CHECK(golden_hex("state_leaf", leaf_text(leaf)) == hex_lines(leaf_text(leaf)));
  const auto leaf_hash = state_hash(leaf_text(leaf));
  const std::vector<std::pair<std::uint8_t, StateHash>> children{{1, leaf_hash},
                                                                 {15, filled(0x22)}};
  CHECK(golden_hex("state_node", node_text(1, children)) == hex_lines(node_text(1, children)));
  const std::vector<std::pair<std::string, ByteVector>> records{
      {"group", {std::byte{1}, std::byte{2}}}, {"vol/0000000000000005", {}}};
  const auto hash = records_hash(records);
  CHECK(golden_hex("state_records_hash", hash) == hex_lines(hash));
  const std::vector<StateVolume> volumes{{VolumeId(5), 1u << 30, filled(0x33)},
                                         {VolumeId(6), 4096, {}}};
  CHECK(golden_hex("state_root", root_text(volumes, hash)) == hex_lines(root_text(volumes, hash)));
}

TEST_CASE("a record's key and value cannot take a part of each other for the same hash") {
  const std::vector<std::pair<std::string, ByteVector>> one{{"ab", {std::byte{'c'}}}};
  const std::vector<std::pair<std::string, ByteVector>> other{
      {"a", {std::byte{'b'}, std::byte{'c'}}}};
  CHECK(records_hash(one) != records_hash(other));
}
