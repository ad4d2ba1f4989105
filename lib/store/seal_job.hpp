#pragma once
// Extents on their way into the log as one operation. Internal to Group.

#include "codec/seal.hpp"
#include "store/group.hpp"

namespace square::store {

struct Group::SealJob {
  format::OperationType type = format::OperationType::kWrite;
  VolumeId volume;
  KeyId key;
  std::vector<BlockContent> extents;  // ascending; each becomes one extent
  std::vector<ExtentId> expected;     // of a rewrite: the extent that each was read from
  RequestId request;
  std::uint8_t frame_shift = 0;
  std::uint64_t content_bytes = 0, stored_bytes = 0;
  std::uint32_t frames = 0;

  void add(BlockContent extent) {
    const auto size = static_cast<std::uint32_t>(extent.data.size());
    content_bytes += size;
    stored_bytes += codec::stored_size(size, frame_shift);
    frames += codec::frame_count(size, frame_shift);
    extents.push_back(std::move(extent));
  }

  Result<std::vector<codec::SealedExtent>> seal(codec::Sealer& sealer,
                                                const codec::SecretKey& data_key,
                                                codec::ExtentIdentity identity) const {
    std::vector<codec::SealedExtent> sealed;
    for (const auto& extent : extents) {
      identity.offset = extent.offset;
      identity.plain_bytes = static_cast<std::uint32_t>(extent.data.size());
      identity.id.index = static_cast<std::uint16_t>(sealed.size());
      const Bytes content[] = {extent.data.bytes()};
      SQ_TRY(auto one, sealer.seal(data_key, key, identity, content, extent.ingest, frame_shift));
      sealed.push_back(std::move(one));
    }
    return sealed;
  }
};

}  // namespace square::store
