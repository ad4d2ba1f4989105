// Golden bytes of what the pool keeps on its disks: docs/formats/label.md, checkpoint.md.

#include <catch2/catch.hpp>

#include "format/checkpoint.hpp"
#include "format/label.hpp"
#include "format/summary.hpp"
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
  entry.summarized = true;
  entry.k = 2;
  entry.m = 1;
  entry.slots = {Slot(0), Slot(1), Slot(2)};
  manifest.segments = {entry};
  return manifest;
}

SegmentSummary golden_summary() {
  SegmentSummary summary;
  summary.pool.uuid = uuid_of(0x30);
  summary.segment = SegmentId(3);
  summary.generation = {5, 2};
  summary.stripes = {golden_stripe(0), golden_stripe(2)};
  StripeExtent extent;
  extent.group = GroupId(1);
  extent.volume = VolumeId(2);
  extent.offset = 1u << 20;
  extent.plain_bytes = 8192;
  extent.stored_bytes = 8300;
  extent.id = {5, Sequence(77), 0};
  summary.stripes[0].extents = {extent};
  extent.offset += 8192;
  extent.id.index = 1;
  extent.byte_offset = 8300;
  summary.stripes[1].extents = {extent};
  return summary;
}

SummaryFooter golden_footer() {
  SummaryFooter footer;
  footer.pool.uuid = uuid_of(0x30);
  footer.stripe = golden_stripe(509);
  footer.bytes = 251;
  footer.checksum = 0x6666666666666666;
  return footer;
}

}  // namespace

TEST_CASE("golden: a segment's summary and its footer") {
  const auto bytes = encode_summary(golden_summary());
  CHECK(hex_lines(bytes) == golden_hex("segment_summary", bytes));
  CHECK(*decode_summary(golden_bytes("segment_summary")) == golden_summary());
  const auto block = encode_footer(golden_footer());
  CHECK(hex_lines(block) == golden_hex("segment_footer", block));
  CHECK(*decode_footer(golden_bytes("segment_footer")) == golden_footer());
}

TEST_CASE("a summary is as large as the room that is kept for it") {
  SegmentSummary summary;
  CHECK(encode_summary(summary).size() == kSummaryBytesMin);
  summary = golden_summary();
  CHECK(encode_summary(summary).size() == kSummaryBytesMin + 2 * summary_stripe_bytes(3, 1));
  summary.stripes[0].extents.assign(9, {});
  CHECK(encode_summary(summary).size() ==
        kSummaryBytesMin + summary_stripe_bytes(3, 9) + summary_stripe_bytes(3, 1));
}

TEST_CASE("a summary or footer cut short, changed anywhere, or out of order is refused") {
  const auto good = encode_summary(golden_summary());
  for (std::size_t size = 0; size < good.size(); ++size)
    REQUIRE_FALSE(decode_summary(Bytes(good).first(size)).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] ^= std::byte{1};
    REQUIRE(decode_summary(bad).code() == Code::kCorrupt);
  }
  const auto footer = encode_footer(golden_footer());
  REQUIRE(footer.size() == kBlockBytes);
  for (std::size_t i = 0; i < footer.size(); ++i) {
    auto bad = footer;
    bad[i] ^= std::byte{1};
    REQUIRE(decode_footer(bad).code() == Code::kCorrupt);
  }
  auto mixed = golden_summary();
  std::swap(mixed.stripes[0], mixed.stripes[1]);
  CHECK(decode_summary(encode_summary(mixed)).code() == Code::kCorrupt);
  mixed = golden_summary();
  mixed.stripes[1].generation = {5, 1};
  CHECK(decode_summary(encode_summary(mixed)).code() == Code::kCorrupt);
  mixed = golden_summary();
  mixed.stripes[1].segment = SegmentId(4);
  CHECK(decode_summary(encode_summary(mixed)).code() == Code::kCorrupt);
}

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
