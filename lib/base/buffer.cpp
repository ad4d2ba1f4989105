#include "base/buffer.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>

namespace square {
namespace {

std::atomic<std::size_t> live_bytes{0};

constexpr std::size_t kCachedBytesMax = 2u << 20;

// Between the sizes of slabs near this one: an extent of 64 KiB and its header waste little.
std::size_t class_step(std::size_t size) {
  return std::max<std::size_t>(kBlockBytes, std::bit_ceil(size) / 8);
}

// Slabs of the sizes that the hot path uses again and again are kept for the next one: a fresh
// mapping costs more in page faults than the write that it carries.
class SlabCache {
 public:
  std::byte* take(std::size_t size) {
    const std::scoped_lock lock(mutex_);
    auto& list = list_of(size);
    if (list.empty()) return nullptr;
    auto* slab = list.back();
    list.pop_back();
    kept_bytes_ -= size;
    return slab;
  }
  bool keep(std::byte* slab, std::size_t size) {
    const std::scoped_lock lock(mutex_);
    if (kept_bytes_ + size > kKeptBytesMax) return false;
    list_of(size).push_back(slab);
    kept_bytes_ += size;
    return true;
  }

 private:
  static constexpr std::size_t kKeptBytesMax = 32u << 20;
  static constexpr std::size_t kClasses = 40;  // four for each power of two, up to kCachedBytesMax

  std::vector<std::byte*>& list_of(std::size_t size) {
    const auto above = std::bit_ceil(size);
    const auto power = static_cast<std::size_t>(std::countr_zero(above / kBlockBytes));
    return lists_[power * 4 + (above - size) / class_step(size)];
  }

  std::mutex mutex_;
  std::vector<std::byte*> lists_[kClasses];
  std::size_t kept_bytes_ = 0;
};

SlabCache& cache() {
  static auto* instance = new SlabCache;  // outlives every Buffer, also static ones
  return *instance;
}

std::size_t slab_size(std::size_t size) {
  const auto rounded = align_up(size == 0 ? 1 : size, kBlockBytes);
  return rounded <= kCachedBytesMax ? align_up(rounded, class_step(rounded)) : rounded;
}

void release(std::byte* slab, std::size_t size) {
  live_bytes.fetch_sub(size, std::memory_order_relaxed);
  if (size <= kCachedBytesMax && cache().keep(slab, size)) return;
  std::free(slab);
}

}  // namespace

Buffer Buffer::allocate(std::size_t size) {
  const auto capacity = slab_size(size);
  auto* slab = capacity <= kCachedBytesMax ? cache().take(capacity) : nullptr;
  if (slab == nullptr) slab = static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, capacity));
  SQ_CHECK(slab != nullptr, "out of memory");
  live_bytes.fetch_add(capacity, std::memory_order_relaxed);
  Buffer buffer;
  buffer.slab_ = {slab, [capacity](std::byte* p) { release(p, capacity); }};
  buffer.data_ = slab;
  buffer.size_ = size;
  return buffer;
}

Buffer Buffer::zeroed(std::size_t size) {
  auto buffer = allocate(size);
  std::memset(buffer.data(), 0, size);
  return buffer;
}

Buffer Buffer::copy_of(Bytes bytes) {
  auto buffer = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

Buffer Buffer::slice(std::size_t offset, std::size_t size) const {
  SQ_CHECK(offset <= size_ && size <= size_ - offset);
  Buffer part = *this;
  part.data_ += offset;
  part.size_ = size;
  return part;
}

std::size_t total_size(const BufferChain& chain) {
  std::size_t total = 0;
  for (const auto& buffer : chain) total += buffer.size();
  return total;
}

std::size_t buffer_bytes_live() { return live_bytes.load(std::memory_order_relaxed); }

}  // namespace square
