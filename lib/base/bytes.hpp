#pragma once
// Little-endian encoding and decoding of durable and wire bytes. A Reader never reads past its end
// and never allocates by a length it has not checked: after any failure it stays failed, and the
// caller asks once, at the end.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"

namespace square {

static_assert(std::endian::native == std::endian::little, "Square's formats are little-endian");

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using ByteVector = std::vector<std::byte>;

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

inline constexpr std::uint32_t kBlockBytes = 4096;  // the unit of disks, merging and ingest hashes

// Appends to a byte vector.
class Writer {
 public:
  explicit Writer(ByteVector& out) : out_(out) {}

  template <std::integral T>
  void put(T value) {
    const auto at = out_.size();
    out_.resize(at + sizeof(T));
    std::memcpy(out_.data() + at, &value, sizeof(T));
  }
  template <class Tag, class Integer>
  void put(Id<Tag, Integer> id) {
    put(id.value);
  }
  template <class Tag>
  void put(const UuidId<Tag>& id) {
    put_raw(std::as_bytes(std::span(id.uuid.bytes)));
  }
  void put(const Epoch& epoch) {
    put(epoch.number);
    put(epoch.random);
  }
  void put_raw(Bytes bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  // A 32-bit length, then the bytes.
  void put_sized(Bytes bytes) {
    put(static_cast<std::uint32_t>(bytes.size()));
    put_raw(bytes);
  }
  std::size_t size() const { return out_.size(); }
  // Overwrites what was put at `at` before; for lengths and checksums known only at the end.
  template <std::integral T>
  void patch(std::size_t at, T value) {
    SQ_CHECK(at + sizeof(T) <= out_.size());
    std::memcpy(out_.data() + at, &value, sizeof(T));
  }

 private:
  ByteVector& out_;
};

class Reader {
 public:
  explicit Reader(Bytes in) : in_(in) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return in_.size() - at_; }
  std::size_t position() const { return at_; }
  // The whole input was read, and nothing failed.
  bool finished() const { return ok_ && left() == 0; }
  void fail() { ok_ = false; }

  template <std::integral T>
  T get() {
    T value{};
    if (!take(sizeof(T))) return value;
    std::memcpy(&value, in_.data() + at_ - sizeof(T), sizeof(T));
    return value;
  }
  template <class Tag, class Integer>
  void get(Id<Tag, Integer>& id) {
    id.value = get<Integer>();
  }
  template <std::integral T>
  void get(T& value) {
    value = get<T>();
  }
  template <class Tag>
  void get(UuidId<Tag>& id) {
    const auto raw = get_raw(16);
    if (raw.size() == 16) std::memcpy(id.uuid.bytes.data(), raw.data(), 16);
  }
  void get(Epoch& epoch) {
    get(epoch.number);
    get(epoch.random);
  }
  // A view into the input; empty after a failure.
  Bytes get_raw(std::size_t size) {
    if (!take(size)) return {};
    return in_.subspan(at_ - size, size);
  }
  Bytes get_sized() { return get_raw(get<std::uint32_t>()); }

 private:
  bool take(std::size_t size) {
    if (!ok_ || size > left()) {
      ok_ = false;
      return false;
    }
    at_ += size;
    return true;
  }

  Bytes in_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace square
