#pragma once
// Payload memory: aligned for O_DIRECT, reference-counted, shared without copying. A request in
// flight holds its Buffer, so a hung disk can keep the memory while everybody else moves on.

#include <cstddef>
#include <memory>
#include <vector>

#include "base/bytes.hpp"

namespace square {

// A view of a shared, 4 KiB-aligned slab. Copying shares; the bytes are mutable by whoever holds a
// Buffer, and by convention only its producer writes, before it hands it on.
class Buffer {
 public:
  Buffer() = default;
  // Not initialised. `size` may be anything; the slab is rounded up to 4 KiB.
  static Buffer allocate(std::size_t size);
  static Buffer zeroed(std::size_t size);
  static Buffer copy_of(Bytes bytes);

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  MutableBytes bytes() { return {data_, size_}; }
  Bytes bytes() const { return {data_, size_}; }
  // Shares the slab. offset + size must lie inside.
  Buffer slice(std::size_t offset, std::size_t size) const;
  bool aligned() const { return reinterpret_cast<std::uintptr_t>(data_) % kBlockBytes == 0; }

 private:
  std::shared_ptr<std::byte> slab_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Scattered payload of one write, in order.
using BufferChain = std::vector<Buffer>;
std::size_t total_size(const BufferChain& chain);

// Bytes of all slabs alive now, for the memory budget and its metric.
std::size_t buffer_bytes_live();

}  // namespace square
