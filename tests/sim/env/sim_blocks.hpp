#pragma once
// What a platter holds: 4 KiB blocks, shared and never changed in place, in pages that are copied
// only when one of several images that share them is written. So an image costs a copy of the list
// of pages.

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/bytes.hpp"

namespace square::sim {

// One block inside a slab that several blocks share. No slab: zeros.
struct BlockRef {
  std::shared_ptr<const std::byte[]> slab;
  const std::byte* data = nullptr;

  void copy_to(std::byte* out) const {
    if (data == nullptr) {
      std::memset(out, 0, kBlockBytes);
    } else {
      std::memcpy(out, data, kBlockBytes);
    }
  }
};

class BlockMap {
 public:
  const BlockRef& get(std::uint64_t block) const {
    static const BlockRef zeros;
    const auto page = block / kPage;
    if (page >= pages_.size() || pages_[page] == nullptr) return zeros;
    return (*pages_[page])[block % kPage];
  }
  void set(std::uint64_t block, BlockRef ref) {
    const auto page = block / kPage;
    if (page >= pages_.size()) pages_.resize(page + 1);
    auto& entry = pages_[page];
    if (entry == nullptr) {
      entry = std::make_shared<Page>();
    } else if (entry.use_count() > 1) {
      entry = std::make_shared<Page>(*entry);
    }
    (*entry)[block % kPage] = std::move(ref);
  }
  // Blocks that were ever written, ascending.
  std::vector<std::uint64_t> written() const {
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t page = 0; page < pages_.size(); ++page)
      for (std::uint64_t i = 0; pages_[page] != nullptr && i < kPage; ++i)
        if ((*pages_[page])[i].data != nullptr) blocks.push_back(page * kPage + i);
    return blocks;
  }

 private:
  static constexpr std::uint64_t kPage = 128;
  using Page = std::array<BlockRef, kPage>;
  std::vector<std::shared_ptr<Page>> pages_;
};

// A slab of `blocks` blocks to fill and then share.
struct Slab {
  explicit Slab(std::uint64_t blocks) : bytes(new std::byte[blocks * kBlockBytes]) {}
  BlockRef block(std::uint64_t index) const { return {bytes, bytes.get() + index * kBlockBytes}; }
  std::shared_ptr<std::byte[]> bytes;
};

}  // namespace square::sim
