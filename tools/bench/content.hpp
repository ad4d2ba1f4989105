#pragma once
// Bytes to write, with their hashes, made beforehand: making them is the client's work.

#include <random>
#include <vector>

#include "base/buffer.hpp"

namespace square::bench {

using Random = std::mt19937_64;  // the same sequence in each run

class Content {
 public:
  explicit Content(std::uint64_t seed = 1);

  struct Piece {
    Buffer data;
    std::vector<std::uint64_t> ingest;  // of each 4 KiB block
  };
  // `size` bytes that do not compress: whole blocks, up to 1 MiB.
  Piece draw(std::size_t size);

 private:
  Random random_;
  std::vector<Buffer> slabs_;
  std::vector<std::vector<std::uint64_t>> hashes_;
};

}  // namespace square::bench
