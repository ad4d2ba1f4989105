#include "store/memory_map.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <random>

using namespace square;
using namespace square::store;
using format::HoleBody;
using format::Operation;
using format::OperationType;
using format::WriteBody;

namespace {

constexpr VolumeId kVolume{1};

Operation write_of(std::uint64_t sequence, std::uint64_t block, std::uint32_t blocks) {
  Operation operation;
  operation.type = OperationType::kWrite;
  operation.sequence = Sequence(sequence);
  format::ExtentRef extent;
  extent.id = {1, Sequence(sequence), 0};
  extent.plain_bytes = blocks * kBlockBytes;
  operation.body = WriteBody{kVolume, {{block * kBlockBytes, extent}}, {}};
  return operation;
}

Operation hole_of(std::uint64_t sequence, std::uint64_t block, std::uint64_t blocks) {
  Operation operation;
  operation.type = OperationType::kHole;
  operation.sequence = Sequence(sequence);
  operation.body = HoleBody{kVolume, block * kBlockBytes, blocks * kBlockBytes};
  return operation;
}

// What each block shows: the sequence that wrote it and its place in that extent.
struct Shown {
  std::uint64_t sequence = 0;
  bool hole = false;
  std::uint32_t extent_offset = 0;
  bool operator==(const Shown&) const = default;
};

std::map<std::uint64_t, Shown> flatten(const MemoryMap& map, std::uint64_t blocks) {
  std::map<std::uint64_t, Shown> out;
  std::uint64_t at = 0;
  for (const auto& piece : map.lookup(kVolume, 0, blocks * kBlockBytes)) {
    REQUIRE(piece.offset == at);
    at += piece.length;
    if (!piece.known) continue;
    for (std::uint64_t b = 0; b < piece.length / kBlockBytes; ++b)
      out[piece.offset / kBlockBytes + b] = {
          piece.sequence.value, piece.mapping.hole,
          piece.mapping.hole
              ? 0
              : piece.mapping.extent_offset + static_cast<std::uint32_t>(b) * kBlockBytes};
  }
  REQUIRE(at == blocks * kBlockBytes);
  return out;
}

}  // namespace

TEST_CASE("the memory map leaves open what it does not know") {
  MemoryMap map;
  map.enter(write_of(1, 2, 2), {});
  const auto pieces = map.lookup(kVolume, 0, 6 * kBlockBytes);
  REQUIRE(pieces.size() == 3);
  CHECK_FALSE(pieces[0].known);
  CHECK(pieces[1].known);
  CHECK(pieces[1].offset == 2 * kBlockBytes);
  CHECK_FALSE(pieces[2].known);
}

TEST_CASE("an overwrite in the middle of an extent leaves both of its ends, at their offsets") {
  MemoryMap map;
  map.enter(write_of(1, 0, 8), {Buffer::zeroed(10)});
  map.enter(write_of(2, 3, 2), {Buffer::zeroed(20)});
  const auto pieces = map.lookup(kVolume, 0, 8 * kBlockBytes);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[2].sequence == Sequence(1));
  CHECK(pieces[2].mapping.extent_offset == 5 * kBlockBytes);
  CHECK(pieces[2].stored.size() == 10);
  CHECK(pieces[1].stored.size() == 20);
}

TEST_CASE("what the index has taken goes, but not what overwrote it since") {
  MemoryMap map;
  const auto first = write_of(1, 0, 8);
  const auto second = write_of(2, 3, 2);
  map.enter(first, {});
  map.enter(second, {});
  map.applied(first);
  const auto shown = flatten(map, 8);
  CHECK(shown.size() == 2);
  CHECK(shown.at(3).sequence == 2);
  map.applied(second);
  CHECK(map.empty());
}

TEST_CASE("random writes, holes and applications show what a plain map of blocks shows") {
  constexpr std::uint64_t kBlocks = 40;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    MemoryMap map;
    std::map<std::uint64_t, Shown> model;
    std::deque<Operation> taken;
    for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) {
      const auto block = random() % kBlocks;
      const auto blocks = 1 + random() % (kBlocks - block);
      const bool hole = random() % 4 == 0;
      taken.push_back(hole ? hole_of(sequence, block, blocks)
                           : write_of(sequence, block, static_cast<std::uint32_t>(blocks)));
      map.enter(taken.back(), {});
      for (std::uint64_t b = 0; b < blocks; ++b)
        model[block + b] = {sequence, hole, hole ? 0 : static_cast<std::uint32_t>(b) * kBlockBytes};
      if (random() % 3 == 0) {
        const auto gone = taken.front().sequence.value;
        map.applied(taken.front());
        taken.pop_front();
        std::erase_if(model, [&](const auto& entry) { return entry.second.sequence == gone; });
      }
      INFO("seed " << seed << ", sequence " << sequence);
      REQUIRE(flatten(map, kBlocks) == model);
    }
  }
}
