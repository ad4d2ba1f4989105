// Golden bytes of what the pool keeps on its disks: docs/formats/label.md, checkpoint.md.

#include <catch2/catch.hpp>

#include "format/checkpoint.hpp"
#include "format/label.hpp"
#include "support/golden.hpp"

using namespace square;
using namespace square::format;
using test::golden_bytes;
using test::golden_hex;
using test::hex_lines;

namespace {

Uuid uuid_of(std::uint8_t first) {
  Uuid uuid;
  for (std::size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<std::uint8_t>(first + i);
  return uuid;
}

StripeDescriptor golden_stripe(std::uint32_t block) {
  StripeDescriptor stripe;
  stripe.segment = SegmentId(3);
  stripe.generation = {5, 2};
  stripe.stripe_block = block;
  stripe.strip_blocks = 2;
  stripe.k = 2;
  stripe.m = 1;
  stripe.slots = {Slot(1), Slot(2), Slot(0)};
  stripe.checksums = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333};
  return stripe;
}

Label golden_label() {
  Label label;
  label.sequence = 9;
  label.cell.uuid = uuid_of(0x10);
  label.node.uuid = uuid_of(0x20);
  label.pool.uuid = uuid_of(0x30);
  label.disk.uuid = uuid_of(0x50);
  label.slot = Slot(1);
  label.k = 2;
  label.m = 1;
  label.chunk_bytes = 2u << 20;
  label.chunks = 120;
  label.journal_bytes = 16u << 20;
  label.pool_generation = 4;
  label.epoch = 5;
  label.slots = {{{uuid_of(0x40)}, SlotState::kWhole},
                 {{uuid_of(0x50)}, SlotState::kRebuilding},
                 {{uuid_of(0x60)}, SlotState::kFailed}};
  label.newest = CheckpointRef{{5, 7}, 300, 0x4444444444444444, {golden_stripe(8)}};
  label.previous = CheckpointRef{{5, 6}, 290, 0x5555555555555555, {golden_stripe(0)}};
  return label;
}

CheckpointManifest golden_manifest() {
  CheckpointManifest manifest;
  manifest.pool.uuid = uuid_of(0x30);
  manifest.id = {5, 7};
  manifest.header = {std::byte{0xAA}, std::byte{0xBB}};
  ManifestFile file;
  file.name = "000012.sst";
  file.content_key = "12-9f";
  file.size_bytes = 20'000;
  file.stripes = {{golden_stripe(4), 16'384}, {golden_stripe(6), 3'616}};
  manifest.files = {file};
  SegmentEntry entry;
  entry.segment = SegmentId(17);
  entry.generation = {5, 1};
  entry.kind = 1;
  entry.k = 2;
  entry.m = 1;
  entry.slots = {Slot(0), Slot(1), Slot(2)};
  manifest.segments = {entry};
  return manifest;
}

}  // namespace

TEST_CASE("golden: a disk's label") {
  const auto bytes = encode_label(golden_label());
  CHECK(hex_lines(bytes) == golden_hex("label", bytes));
  CHECK(*decode_label(golden_bytes("label")) == golden_label());
}

TEST_CASE("golden: a checkpoint's manifest") {
  const auto bytes = encode_manifest(golden_manifest());
  CHECK(hex_lines(bytes) == golden_hex("checkpoint_manifest", bytes));
  CHECK(*decode_manifest(golden_bytes("checkpoint_manifest")) == golden_manifest());
}

TEST_CASE("the largest pool and the largest manifest reference fit in a label") {
  auto label = golden_label();
  label.k = 29;
  label.m = 3;
  label.slots.assign(32, {{uuid_of(1)}, SlotState::kWhole});
  StripeDescriptor wide = golden_stripe(0);
  wide.k = 29;
  wide.m = 3;
  wide.slots.assign(32, Slot(7));
  wide.checksums.assign(32, ~0ull);
  label.newest->stripes.assign(kManifestStripesMax, wide);
  label.previous->stripes.assign(kManifestStripesMax, wide);
  const auto block = encode_label(label);
  CHECK(block.size() == kLabelBytes);
  CHECK(*decode_label(block) == label);
}

TEST_CASE("a manifest cut short, changed anywhere, or of another version is refused") {
  const auto good = encode_manifest(golden_manifest());
  for (std::size_t size = 0; size < good.size(); ++size)
    REQUIRE_FALSE(decode_manifest(Bytes(good).first(size)).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] ^= std::byte{1};
    REQUIRE(decode_manifest(bad).code() == Code::kCorrupt);
  }
}
