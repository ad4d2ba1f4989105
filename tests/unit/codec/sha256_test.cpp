#include <catch2/catch.hpp>

#include "codec/checksum.hpp"
#include "codec/sha256.hpp"

using namespace square;

TEST_CASE("SHA-256 in pieces is SHA-256 of the whole") {
  const ByteVector bytes(100'000, std::byte{7});
  codec::Sha256 hash;
  for (std::size_t at = 0; at < bytes.size(); at += 999)
    hash.update(Bytes(bytes).subspan(at, std::min<std::size_t>(999, bytes.size() - at)));
  CHECK(hash.finish() == codec::sha256(bytes));
}
