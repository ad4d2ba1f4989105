#pragma once
// Watches, from outside, what the engine writes into its journals: no two different sealings may
// ever share a key and a nonce. The seal ids come from the group's records, the counters from the
// headers of the extents; each volume has a data key of its own.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/buffer.hpp"
#include "format/record.hpp"

namespace square::sim {

class NonceWatch {
 public:
  // Of each disk's journal area.
  NonceWatch(std::uint64_t journal_offset, std::uint64_t journal_bytes)
      : from_(journal_offset), to_(journal_offset + journal_bytes) {}

  // A write that a disk was asked for.
  void see(std::uint64_t offset, const BufferChain& chain);
  // The first nonce that was used twice.
  const std::optional<std::string>& violation() const { return violation_; }
  std::uint64_t sealings() const { return used_.size(); }

 private:
  using SealId = std::array<std::byte, 32>;
  struct Nonce {
    VolumeId volume;
    SealId seal;
    std::uint32_t counter;
    bool operator==(const Nonce&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Nonce& nonce) const;
  };
  void see(const format::OperationRecord& record);
  void see_extent(const format::Operation& operation, Bytes stored);

  std::uint64_t from_, to_;
  std::uint64_t last_epoch_ = 0;
  LanePosition seen_;  // of `last_epoch_`: each batch goes to several disks
  std::map<std::pair<GroupId, std::uint32_t>, SealId> seals_;
  std::unordered_map<Nonce, std::array<std::byte, 16>, Hash> used_;  // -> the frame's tag
  std::optional<std::string> violation_;
};

}  // namespace square::sim
