#pragma once
// XXH3 compiled twice: for every x86-64, and for machines with AVX2. Private to the codec folder.
// Only C headers here: an inline function of a C++ header that is compiled with AVX2 could be the
// copy that the linker keeps for all.

#include <stddef.h>
#include <stdint.h>

namespace square::codec::detail {

struct Piece {
  const void* data;
  size_t size;
};

struct Xxh3 {
  uint64_t (*hash64)(const Piece* pieces, size_t count);
  // In the canonical byte order, as `xxh128sum` prints it.
  void (*hash128)(const Piece* pieces, size_t count, unsigned char* out);
};

extern const Xxh3 xxh3_any, xxh3_avx2;

}  // namespace square::codec::detail
