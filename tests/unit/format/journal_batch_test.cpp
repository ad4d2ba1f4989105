#include "format/journal_batch.hpp"

#include <catch2/catch.hpp>

#include "codec/checksum.hpp"
#include "support/golden.hpp"

using namespace square;
using namespace square::format;

namespace {

JournalHeader sample_header() {
  JournalHeader header;
  for (std::size_t i = 0; i < 16; ++i)
    header.pool.uuid.bytes[i] = static_cast<std::uint8_t>(0x10 + i);
  header.lane = 2;
  header.position = LanePosition(0x123000);
  header.epoch = {7, 0x1122334455667788ull};
  header.durable = LanePosition(0x122000);
  header.tail.position = LanePosition(0x120000);
  header.tail.chain.fill(std::byte{0xA1});
  header.previous.fill(std::byte{0xB2});
  return header;
}

JournalBatch sample() {
  std::vector<BufferChain> records;
  records.push_back({Buffer::copy_of(as_bytes("first"))});
  records.push_back({Buffer::copy_of(as_bytes("the second")), Buffer::copy_of(as_bytes(" one"))});
  return encode_journal_batch(sample_header(), records);
}

Buffer copy(const Buffer& bytes) { return Buffer::copy_of(bytes.bytes()); }

void set_checksum(Buffer& bytes) {
  const auto checksum = codec::checksum64(bytes.bytes().first(120));
  std::memcpy(bytes.data() + 120, &checksum, sizeof checksum);
}

template <class T>
Buffer with_field(std::size_t at, T value) {
  auto bytes = copy(sample().bytes);
  std::memcpy(bytes.data() + at, &value, sizeof value);
  set_checksum(bytes);
  return bytes;
}

}  // namespace

TEST_CASE("a journal batch comes back as it was made") {
  const auto made = sample();
  CHECK(made.header.length == 4096);
  CHECK(made.header.records == 2);
  CHECK(made.bytes.size() == 4096);
  const auto read = decode_journal_batch(made.bytes);
  REQUIRE(read.ok());
  CHECK(read->header == made.header);
  REQUIRE(read->records.size() == 2);
  CHECK(as_text(read->records[0].bytes()) == "first");
  CHECK(as_text(read->records[1].bytes()) == "the second one");
  CHECK(as_text(made.records[1].bytes()) == "the second one");
}

TEST_CASE("records of any size, and none at all, come back from a batch") {
  for (const std::size_t size : {0u, 1u, 7u, 8u, 3950u, 4096u, 70000u}) {
    std::vector<BufferChain> records(3, BufferChain{Buffer::zeroed(size)});
    const auto made = encode_journal_batch(sample_header(), records);
    CHECK(made.header.length % 4096 == 0);
    const auto read = decode_journal_batch(made.bytes);
    REQUIRE(read.ok());
    REQUIRE(read->records.size() == 3);
    CHECK(read->records[2].size() == size);
  }
  CHECK(decode_journal_batch(encode_journal_batch(sample_header(), {}).bytes).ok());
  auto header = sample_header();
  header.length = 64u << 10;
  const auto filler = encode_journal_batch(header, {});
  CHECK(filler.bytes.size() == 4096);
  CHECK(decode_journal_batch(filler.bytes)->header.end() == LanePosition(0x133000));
}

TEST_CASE("the bytes of a journal batch never change") {
  const auto made = sample();
  CHECK(test::hex_lines(made.bytes.bytes()) ==
        test::golden_hex("journal_batch", made.bytes.bytes()));
  const auto golden = test::golden_bytes("journal_batch");
  const auto read = decode_journal_batch(Buffer::copy_of(golden));
  REQUIRE(read.ok());
  CHECK(read->header == made.header);
}

TEST_CASE(
    "every changed bit of a journal batch is noticed, and a torn body leaves the header valid") {
  const auto made = sample();
  const auto used = kJournalHeaderBytes + made.header.body_bytes;
  for (std::size_t bit = 0; bit < used * 8; ++bit) {
    auto bytes = copy(made.bytes);
    bytes.data()[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    REQUIRE_FALSE(decode_journal_batch(bytes).ok());
    REQUIRE(decode_journal_header(bytes.bytes()).ok() == (bit / 8 >= kJournalHeaderBytes));
  }
}

TEST_CASE("a journal batch that is cut off is refused") {
  const auto made = sample();
  for (std::size_t size = 0; size < made.bytes.size(); size += size < 300 ? 1 : 97)
    REQUIRE_FALSE(decode_journal_batch(made.bytes.slice(0, size)).ok());
}

TEST_CASE("impossible journal headers are refused although their checksum is right") {
  CHECK(decode_journal_header(with_field<std::uint64_t>(24, 0x123001).bytes()).code() ==
        Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint32_t>(32, 0).bytes()).code() == Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint32_t>(32, 4097).bytes()).code() ==
        Code::kCorrupt);
  // Only a batch without records is longer than what was written of it.
  CHECK(decode_journal_header(with_field<std::uint32_t>(32, 8192).bytes()).code() ==
        Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint32_t>(36, 0).bytes()).code() == Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint32_t>(36, 1000).bytes()).code() ==
        Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint32_t>(40, 0xFFFFFFF8).bytes()).code() ==
        Code::kCorrupt);
  CHECK(decode_journal_header(with_field<std::uint64_t>(56, 0x124000).bytes()).code() ==
        Code::kCorrupt);  // durable above its own position
  CHECK(decode_journal_header(with_field<std::uint64_t>(64, 0x123000).bytes()).code() ==
        Code::kCorrupt);  // tail above durable
  CHECK(decode_journal_header(with_field<std::uint16_t>(4, 2).bytes()).code() ==
        Code::kUnsupported);
}
