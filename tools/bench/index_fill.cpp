#include "bench/index_fill.hpp"

#include <cstring>

namespace square::bench {

namespace {

constexpr std::uint16_t kStripBlocks = 128;
constexpr std::uint8_t kData = 8, kParity = 2;
constexpr std::uint32_t kStripeBytes = kStripBlocks * kBlockBytes * kData;
constexpr std::uint32_t kStripesPerSegment = 8;

}  // namespace

FilledIndex::FilledIndex(std::string folder) : factory_(std::move(folder)) {}

Result<> FilledIndex::open() {
  SQ_TRY(auto kv, factory_.create_empty());
  SQ_TRY(index_, index::Index::open(std::move(kv)));
  return {};
}

format::Operation FilledIndex::next(format::OperationType type) {
  last_ = last_.next();
  format::Operation operation;
  operation.type = type;
  operation.group = kGroup;
  operation.incarnation = Incarnation(1);
  operation.epoch = {1, 1};
  operation.sequence = last_;
  std::memcpy(operation.chain.data(), &last_.value, sizeof last_.value);
  return operation;
}

void FilledIndex::place(format::ExtentRef& extent, VolumeId volume, std::uint64_t offset) {
  const auto used = stripe_.extents.empty()
                        ? kStripeBytes
                        : stripe_.extents.back().byte_offset + stripe_.extents.back().stored_bytes;
  if (used + extent.stored_bytes > kStripeBytes) {
    if (!stripe_.extents.empty()) stripes_.push_back(stripe_);
    const auto stripe =
        (stripe_.segment.value * kStripesPerSegment) + stripe_.stripe_block / kStripBlocks + 1;
    stripe_ = {};
    stripe_.segment = SegmentId(stripe / kStripesPerSegment);
    stripe_.generation = {1, stripe_.segment.value};
    stripe_.stripe_block = stripe % kStripesPerSegment * kStripBlocks;
    stripe_.strip_blocks = kStripBlocks;
    stripe_.k = kData;
    stripe_.m = kParity;
    for (std::uint16_t i = 0; i < kData + kParity; ++i) {
      stripe_.slots.push_back(Slot(i));
      stripe_.checksums.push_back(random_());
    }
  }
  const auto at = stripe_.extents.empty()
                      ? 0u
                      : stripe_.extents.back().byte_offset + stripe_.extents.back().stored_bytes;
  stripe_.extents.push_back(
      {kGroup, volume, offset, extent.plain_bytes, extent.stored_bytes, extent.id, at});
  extent.place = {stripe_.segment, stripe_.generation, stripe_.stripe_block, kStripBlocks, at};
}

Result<> FilledIndex::apply() {
  if (operations_.empty()) return {};
  // No mapping names a stripe that the index lacks: the stripe ends with the batch.
  if (!stripe_.extents.empty()) stripes_.push_back(stripe_);
  stripe_.extents.clear();
  SQ_TRY(index_->apply(operations_, stripes_, std::nullopt));
  operations_.clear();
  stripes_.clear();
  return {};
}

Result<> FilledIndex::write(VolumeId volume, const std::vector<std::uint64_t>& offsets,
                            std::uint32_t extent_bytes, std::size_t batch_operations) {
  for (const auto offset : offsets) {
    auto operation = next(format::OperationType::kWrite);
    format::ExtentRef extent;
    extent.id = {1, last_, 0};
    extent.plain_bytes = extent_bytes;
    extent.stored_bytes = extent_bytes + extent_bytes / 512 + 100;
    extent.checksum = random_();
    for (auto& byte : extent.digest) byte = static_cast<std::byte>(random_());
    place(extent, volume, offset);
    operation.body = format::WriteBody{volume, {{offset, extent}}, {}};
    operations_.push_back(std::move(operation));
    if (operations_.size() >= batch_operations) SQ_TRY(apply());
  }
  return apply();
}

Result<> FilledIndex::write_sequential(VolumeId volume, std::uint64_t extents,
                                       std::uint32_t extent_bytes) {
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t i = 0; i < extents; ++i) offsets.push_back(i * extent_bytes);
  return write(volume, offsets, extent_bytes);
}

Result<Sequence> FilledIndex::snapshot() {
  operations_.push_back(next(format::OperationType::kSnapshotMark));
  SQ_TRY(apply());
  return last_;
}

Result<std::uint64_t> FilledIndex::file_bytes() {
  SQ_TRY(const auto files, index_->kv().export_files());
  std::uint64_t bytes = 0;
  for (const auto& file : files->files()) bytes += file.size_bytes;
  return bytes;
}

}  // namespace square::bench
