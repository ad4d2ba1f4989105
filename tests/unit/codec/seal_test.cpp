#include "codec/seal.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "unit/codec/sealing.hpp"

using namespace square;
using namespace square::codec;
using namespace square::test;

namespace {

Result<> open_all(Bytes stored, const ExtentIdentity& identity, MutableBytes out,
                  const SealId& seal = seal_of(9), std::uint8_t key = 7) {
  return Opener().open(key_of(key), kSampleKey, seal, stored, identity, 0, out);
}

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TEST_CASE("what was sealed opens to the same bytes, for every frame size and length") {
  Sealer sealer(seal_of(9), 4);
  for (const std::uint8_t shift : {12, 14, 16}) {
    for (const std::size_t size : {4096u, 8192u, 16384u, 20480u, 65536u, 69632u, 1u << 20}) {
      INFO("frame " << (1u << shift) << ", content " << size);
      const auto content = random_bytes(size, size + shift);
      const auto sealed = seal_sample(sealer, content, shift);
      const auto identity = identity_of(static_cast<std::uint32_t>(size));
      CHECK(sealed.stored.size() == stored_size(identity.plain_bytes, shift));
      CHECK(sealed.ref.stored_bytes == sealed.stored.size());
      CHECK(sealed.ref.id == identity.id);
      CHECK_FALSE(sealed.ref.place.placed());
      CHECK(verify_stored(sealed.stored.bytes(), sealed.ref).ok());

      ByteVector out(size);
      std::vector<std::uint64_t> ingest;
      Opener opener;
      REQUIRE(opener
                  .open(key_of(7), kSampleKey, seal_of(9), sealed.stored.bytes(), identity, 0, out,
                        &ingest)
                  .ok());
      CHECK(out == content);
      CHECK(ingest == ingest_of(content));
    }
  }
}

TEST_CASE("any run of blocks opens by itself") {
  const auto content = random_bytes(11 * 4096, 1);
  const auto identity = identity_of(11 * 4096);
  for (const std::uint8_t shift : {12, 14, 16}) {
    Sealer sealer(seal_of(9), 4);
    const auto sealed = seal_sample(sealer, content, shift);
    Opener opener;
    for (std::size_t first = 0; first < 11; ++first) {
      for (std::size_t last = first; last <= 11; ++last) {
        INFO(int{shift} << ": " << first << " to " << last);
        ByteVector out((last - first) * 4096);
        REQUIRE(opener
                    .open(key_of(7), kSampleKey, seal_of(9), sealed.stored.bytes(), identity,
                          static_cast<std::uint32_t>(first * 4096), out)
                    .ok());
        CHECK(std::equal(out.begin(), out.end(), content.begin() + long(first * 4096)));
        if (first == last) continue;

        const auto part =
            part_of(identity.plain_bytes, shift, static_cast<std::uint32_t>(first * 4096),
                    static_cast<std::uint32_t>(out.size()));
        const auto stored = sealed.stored.bytes();
        const auto head = stored.first(part.header_bytes);
        const auto frames = stored.subspan(part.frames_begin, part.frames_end - part.frames_begin);
        const auto open_part = [&](Bytes some, std::uint32_t begin) {
          return opener.open_part(key_of(7), kSampleKey, seal_of(9), head, some, begin, identity,
                                  static_cast<std::uint32_t>(first * 4096), out);
        };
        std::ranges::fill(out, std::byte{});
        REQUIRE(verify_header(head, sealed.ref).ok());
        REQUIRE(open_part(frames, part.frames_begin).ok());
        CHECK(std::equal(out.begin(), out.end(), content.begin() + long(first * 4096)));
        CHECK(open_part(frames.first(frames.size() - 1), part.frames_begin).code() ==
              Code::kInvalid);
        CHECK(open_part(frames.subspan(1), part.frames_begin + 1).code() == Code::kInvalid);
        CHECK(all_zero(out));
      }
    }
  }
}

TEST_CASE("a header takes 100 bytes for one frame") {
  CHECK(header_size(1) == 100);
  CHECK(stored_size(4096, 14) == 100 + 8 + 4096);
  CHECK(stored_size(65536, 14) == 84 + 4 * 16 + 16 * 8 + 65536);
}

TEST_CASE("content may come in pieces of any length") {
  const auto content = random_bytes(5 * 4096, 2);
  const Bytes whole = content;
  Sealer one(seal_of(9), 4), many(seal_of(9), 4);
  const auto expected = seal_sample(one, content, 14);
  const std::vector<Bytes> pieces = {whole.first(1), whole.subspan(1, 0), whole.subspan(1, 7000),
                                     whole.subspan(7001)};
  const auto sealed =
      many.seal(key_of(7), kSampleKey, identity_of(5 * 4096), pieces, ingest_of(content), 14);
  REQUIRE(sealed.ok());
  CHECK(std::ranges::equal(sealed->stored.bytes(), expected.stored.bytes()));
}

TEST_CASE("content that is not what the client hashed is not sealed") {
  const auto content = random_bytes(3 * 4096, 3);
  auto hashes = ingest_of(content);
  hashes[2] ^= 1;
  Sealer sealer(seal_of(9), 4);
  const auto sealed =
      sealer.seal(key_of(7), kSampleKey, identity_of(3 * 4096), {{Bytes(content)}}, hashes, 14);
  REQUIRE_FALSE(sealed.ok());
  CHECK(sealed.code() == Code::kCorrupt);
  CHECK(sealed.error().message == "extent: block 2 is not what the client hashed");
}

TEST_CASE("every flipped bit of a stored extent is noticed, with and without keys") {
  const auto content = random_bytes(4096, 4);
  Sealer sealer(seal_of(9), 4);
  auto sealed = seal_sample(sealer, content, 12);
  const auto identity = identity_of(4096);
  Opener opener;
  std::size_t unverified = 0, opened = 0;
  ByteVector out(4096);
  for (std::size_t bit = 0; bit < sealed.stored.size() * 8; ++bit) {
    auto& byte = sealed.stored.data()[bit / 8];
    const auto flip = std::byte{1} << (bit % 8);
    byte ^= flip;
    if (verify_stored(sealed.stored.bytes(), sealed.ref).ok()) ++unverified;
    const auto result =
        opener.open(key_of(7), kSampleKey, seal_of(9), sealed.stored.bytes(), identity, 0, out);
    // The seal's table reference, first counter and the rest are authenticated; only the checksum
    // in front is verify_stored's alone.
    if (bit >= 64 && result.ok()) ++opened;
    if (bit >= 64 && !all_zero(out)) ++opened;
    byte ^= flip;
  }
  CHECK(unverified == 0);
  CHECK(opened == 0);
}

TEST_CASE(
    "every flipped bit of a header is noticed, the checksum's aside, which a part does without") {
  const auto content = random_bytes(5 * 4096, 3);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 12);
  const auto head = sealed.stored.bytes().first(header_size(5));
  ByteVector damaged(head.begin(), head.end());
  REQUIRE(verify_header(damaged, sealed.ref).ok());
  for (std::size_t bit = kExtentChecksumEnd * 8; bit < damaged.size() * 8; ++bit) {
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK_FALSE(verify_header(damaged, sealed.ref).ok());
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  CHECK_FALSE(verify_header(head.first(head.size() - 1), sealed.ref).ok());
  auto other = sealed.ref;
  other.digest[0] ^= std::byte{1};
  CHECK(verify_header(damaged, other).code() == Code::kCorrupt);
}

TEST_CASE("damage with a matching checksum is still not authentic") {
  const auto content = random_bytes(8192, 5);
  Sealer sealer(seal_of(9), 4);
  auto sealed = seal_sample(sealer, content, 12);
  sealed.stored.data()[sealed.stored.size() - 1] ^= std::byte{1};
  sealed.ref.checksum = checksum64(sealed.stored.bytes().subspan(8));
  std::memcpy(sealed.stored.data(), &sealed.ref.checksum, 8);
  REQUIRE(verify_stored(sealed.stored.bytes(), sealed.ref).ok());
  ByteVector out(8192, std::byte{0xff});
  CHECK(open_all(sealed.stored.bytes(), identity_of(8192), out).code() == Code::kCorrupt);
  CHECK(all_zero(out));
  // The undamaged frame before it opens alone.
  ByteVector first(4096);
  CHECK(open_all(sealed.stored.bytes(), identity_of(8192), first).ok());
}

TEST_CASE("sealed bytes do not open as any other extent") {
  const auto content = random_bytes(4096, 6);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 12);
  const std::vector<std::pair<const char*, std::function<void(ExtentIdentity&)>>> changes = {
      {"cell", [](auto& i) { i.cell++; }},
      {"group incarnation", [](auto& i) { i.incarnation = Incarnation(1); }},
      {"volume", [](auto& i) { i.container = VolumeId(6); }},
      {"object", [](auto& i) { i.object = ObjectId(1); }},
      {"offset", [](auto& i) { i.offset += 4096; }},
      {"epoch", [](auto& i) { i.id.epoch++; }},
      {"sequence", [](auto& i) { i.id.sequence = Sequence(1); }},
      {"index", [](auto& i) { i.id.index++; }},
  };
  ByteVector out(4096);
  for (const auto& [name, change] : changes) {
    INFO(name);
    auto other = identity_of(4096);
    change(other);
    CHECK(open_all(sealed.stored.bytes(), other, out).code() == Code::kCorrupt);

    // Nor when the header is forged to say so.
    auto header = *decode_extent_header(sealed.stored.bytes());
    header.identity = other;
    ByteVector forged;
    encode_extent_header(header, forged);
    const auto body = sealed.stored.bytes().subspan(forged.size());
    forged.insert(forged.end(), body.begin(), body.end());
    CHECK(open_all(forged, other, out).code() == Code::kCorrupt);
    CHECK(all_zero(out));
  }
}

TEST_CASE("frames cannot change places within an extent") {
  const auto content = random_bytes(8192, 7);
  Sealer sealer(seal_of(9), 4);
  auto sealed = seal_sample(sealer, content, 12);
  auto* tags = sealed.stored.data() + 84;
  std::swap_ranges(tags, tags + 16, tags + 16);
  auto* frames = tags + 32;
  std::swap_ranges(frames, frames + 4104, frames + 4104);
  ByteVector out(8192);
  CHECK(open_all(sealed.stored.bytes(), identity_of(8192), out).code() == Code::kCorrupt);
}

TEST_CASE("a wrong key or seal is an error, not garbage") {
  const auto content = random_bytes(4096, 8);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 14);
  ByteVector out(4096, std::byte{1});
  CHECK(open_all(sealed.stored.bytes(), identity_of(4096), out, seal_of(9), 8).code() ==
        Code::kCorrupt);
  CHECK(all_zero(out));
  CHECK(open_all(sealed.stored.bytes(), identity_of(4096), out, seal_of(8)).code() ==
        Code::kCorrupt);
  CHECK(open_all(sealed.stored.bytes(), identity_of(4096), out).ok());
}

TEST_CASE("a range that is not in the content is refused") {
  const auto content = random_bytes(8192, 9);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 14);
  Opener opener;
  for (const auto& [offset, size] : {std::pair{0u, 12288u},
                                     {4096u, 8192u},
                                     {8192u, 4096u},
                                     {512u, 4096u},
                                     {0u, 512u},
                                     {0xfffff000u, 8192u}}) {
    ByteVector out(size);
    CHECK(opener
              .open(key_of(7), kSampleKey, seal_of(9), sealed.stored.bytes(), identity_of(8192),
                    offset, out)
              .code() == Code::kInvalid);
  }
}

TEST_CASE("a forgotten key opens nothing from what was kept") {
  const auto content = random_bytes(4096, 10);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 14);
  Opener opener;
  ByteVector out(4096);
  const auto open = [&](std::uint8_t key) {
    return opener
        .open(key_of(key), kSampleKey, seal_of(9), sealed.stored.bytes(), identity_of(4096), 0, out)
        .ok();
  };
  REQUIRE(open(7));
  opener.forget(kSampleKey);
  CHECK_FALSE(open(8));
}

TEST_CASE("more keys and seals than are kept still open") {
  const auto content = random_bytes(4096, 11);
  Opener opener;
  ByteVector out(4096);
  for (int round = 0; round < 2; ++round) {
    for (std::uint8_t i = 0; i < 100; ++i) {
      Sealer sealer(seal_of(i), i);
      const auto sealed = seal_sample(sealer, content, 14);
      CHECK(opener
                .open(key_of(7), kSampleKey, seal_of(i), sealed.stored.bytes(), identity_of(4096),
                      0, out)
                .ok());
    }
  }
}

TEST_CASE("a sealer never gives a counter twice, and says when they run out") {
  Sealer sealer(seal_of(9), 4);
  CHECK_FALSE(sealer.exhausted(UINT32_MAX));
  std::set<std::uint32_t> used;
  std::size_t frames = 0;
  for (const std::size_t blocks : {1u, 5u, 16u, 3u, 256u, 1u}) {
    const auto content = random_bytes(blocks * 4096, blocks);
    const auto sealed = seal_sample(sealer, content, 12);
    const auto header = *decode_extent_header(sealed.stored.bytes());
    for (std::uint32_t i = 0; i < header.tags.size(); ++i) used.insert(header.first_counter + i);
    frames += header.tags.size();
  }
  CHECK(used.size() == frames);
  CHECK(sealer.exhausted(UINT32_MAX - static_cast<std::uint32_t>(frames) + 1));
  CHECK_FALSE(sealer.exhausted(UINT32_MAX - static_cast<std::uint32_t>(frames)));

  // A refused extent may use counters up, but none comes twice.
  const auto content = random_bytes(4096, 12);
  const auto a = seal_sample(sealer, content, 14), b = seal_sample(sealer, content, 14);
  CHECK(decode_extent_header(a.stored.bytes())->first_counter !=
        decode_extent_header(b.stored.bytes())->first_counter);
  CHECK_FALSE(std::ranges::equal(a.stored.bytes().subspan(100), b.stored.bytes().subspan(100)));
}

TEST_CASE("a header of another version, cipher or compression is unsupported, nonsense corrupt") {
  const auto content = random_bytes(4096, 13);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 14);
  const auto code = [&](std::size_t at, std::uint8_t value) {
    auto changed = Buffer::copy_of(sealed.stored.bytes());
    changed.data()[at] = std::byte{value};
    return decode_extent_header(changed.bytes()).code();
  };
  CHECK(code(8, 2) == Code::kUnsupported);
  CHECK(code(10, 2) == Code::kUnsupported);
  CHECK(code(11, 1) == Code::kUnsupported);
  CHECK(code(12, 11) == Code::kCorrupt);
  CHECK(code(12, 21) == Code::kCorrupt);
  CHECK(code(12, 255) == Code::kCorrupt);
  CHECK(code(13, 1) == Code::kCorrupt);
  CHECK(code(56, 1) == Code::kCorrupt);
  CHECK(code(58, 0x20) == Code::kCorrupt);
  CHECK(code(80, 0) == Code::kCorrupt);
  for (std::size_t size = 0; size < 100; ++size)
    CHECK(decode_extent_header(sealed.stored.bytes().first(size)).code() == Code::kCorrupt);
}

TEST_CASE("verification names what differs") {
  const auto content = random_bytes(4096, 14);
  Sealer sealer(seal_of(9), 4);
  const auto sealed = seal_sample(sealer, content, 14);
  const auto differs = [&](auto&& change) {
    auto ref = sealed.ref;
    change(ref);
    const auto result = verify_stored(sealed.stored.bytes(), ref);
    REQUIRE_FALSE(result.ok());
    CHECK(result.code() == Code::kCorrupt);
    return result.error().message;
  };
  CHECK(differs([](auto& r) { r.stored_bytes++; }) == "extent: stored length differs");
  CHECK(differs([](auto& r) { r.checksum++; }) == "extent: checksum is not the expected one");
  CHECK(differs([](auto& r) { r.id.index++; }) == "extent: id differs");
  CHECK(differs([](auto& r) { r.plain_bytes += 4096; }) == "extent: content length differs");
  CHECK(differs([](auto& r) { r.digest[0] ^= std::byte{1}; }) == "extent: digest differs");
}
