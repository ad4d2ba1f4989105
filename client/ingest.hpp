#pragma once
// The hashes that go with content from the moment it enters Square, made where it comes from.

#include "base/bytes.hpp"
#include "codec/checksum.hpp"

namespace square::client {

// XXH3-64 of each part of `data`, cut at the volume's 4 KiB boundaries.
inline std::vector<std::uint64_t> ingest_hashes(std::uint64_t offset, Bytes data) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(data.size() / kBlockBytes + 2);
  while (!data.empty()) {
    const auto part = std::min<std::uint64_t>(kBlockBytes - offset % kBlockBytes, data.size());
    hashes.push_back(codec::checksum64(data.first(part)));
    data = data.subspan(part);
    offset += part;
  }
  return hashes;
}

}  // namespace square::client
