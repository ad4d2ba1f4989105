#include "base/buffer.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

using namespace square;

TEST_CASE("a buffer is aligned, whatever its size") {
  for (const std::size_t size : {1u, 511u, 4096u, 4097u, 65536u, 3000001u}) {
    auto buffer = Buffer::zeroed(size);
    CHECK(buffer.aligned());
    CHECK(buffer.size() == size);
    CHECK(std::count(buffer.bytes().begin(), buffer.bytes().end(), std::byte{0}) ==
          static_cast<std::ptrdiff_t>(size));
    std::memset(buffer.data(), 1, size);  // all of it is ours
  }
  CHECK(Buffer().empty());
}

TEST_CASE("slices share the slab, and keep it alive") {
  const auto before = buffer_bytes_live();
  Buffer part;
  {
    auto whole = Buffer::zeroed(8192);
    part = whole.slice(4096, 10);
    whole.data()[4096] = std::byte{9};
    CHECK_FALSE(whole.slice(1, 10).aligned());
  }
  CHECK(part.data()[0] == std::byte{9});
  CHECK(part.size() == 10);
  CHECK(buffer_bytes_live() == before + 8192);
  part = {};
  CHECK(buffer_bytes_live() == before);
}

TEST_CASE("a copy does not share") {
  const auto text = as_bytes("hello");
  const auto copy = Buffer::copy_of(text);
  CHECK(as_text(copy.bytes()) == "hello");
  CHECK(copy.data() != text.data());
  CHECK(Buffer::copy_of({}).empty());
  const BufferChain chain{copy, copy.slice(1, 2), Buffer()};
  CHECK(total_size(chain) == 7);
}
