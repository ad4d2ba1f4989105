#include "format/diff_stream.hpp"

#include <catch2/catch.hpp>

#include "codec/checksum.hpp"
#include "support/golden.hpp"

using namespace square;
using namespace square::format;

namespace {

Hash128 filled(std::uint8_t value) {
  Hash128 hash;
  hash.fill(static_cast<std::byte>(value));
  return hash;
}

SnapshotId snapshot(std::uint64_t sequence) {
  return {Incarnation(77), Epoch{3, 5}, Sequence(sequence),
          filled(static_cast<std::uint8_t>(sequence))};
}

DiffHeader header() {
  DiffHeader header;
  for (std::uint8_t i = 0; i < 16; ++i) header.cell.uuid.bytes[i] = i;
  header.group = GroupId(1);
  header.base = DiffBase{snapshot(100), Sequence(120)};
  header.target = snapshot(200);
  header.cursor = {VolumeId(5), 4096};
  return header;
}

DiffExtent extent() {
  DiffExtent extent;
  extent.volume = VolumeId(5);
  extent.offset = 8192;
  extent.extent.id = {3, Sequence(150), 1};
  extent.extent.plain_bytes = 8192;
  extent.extent.stored_bytes = 10;
  extent.extent.checksum = 0x1122334455667788;
  extent.extent.digest = filled(0xdd);
  extent.stored = ByteVector(10, std::byte{0xee});
  return extent;
}

DiffItem hole(std::uint64_t volume, std::uint64_t offset, std::uint64_t length) {
  DiffItem item{VolumeId(volume), offset, length, {}};
  item.mapping.hole_sequence = Sequence(160);
  return item;
}

DiffItem mapped(std::uint64_t volume, std::uint64_t offset) {
  DiffItem item{VolumeId(volume), offset, 4096, {}};
  item.mapping.hole = false;
  item.mapping.extent = extent().extent;
  item.mapping.extent_offset = 4096;
  return item;
}

DiffSession session(std::uint64_t id) {
  DiffSession session{SessionId(id), {}};
  session.requests.add(RequestNumber(7));
  return session;
}

DiffRecords records() {
  return {{{"name", std::nullopt}, {"vol/0000000000000005", ByteVector{std::byte{1}}}}};
}

// One piece of every kind, and two of items.
std::vector<DiffPiece> sample() {
  DiffEnd end;
  end.root.fill(std::byte{0xaa});
  end.rewrites = Sequence(210);
  end.counts = {4, 1, 2, 1};
  return {header(),
          DiffItems{false, {extent()}, {hole(5, 4096, 4096), mapped(5, 8192)}},
          DiffItems{false, {}, {hole(6, 0, 1u << 30)}},
          DiffItems{true, {}, {mapped(5, 8192)}},
          records(),
          DiffSessions{{session(9)}},
          DiffSnapshots{{{snapshot(100), 1000}, {snapshot(200), 2000}}},
          end};
}

std::vector<ByteVector> encoded(const std::vector<DiffPiece>& pieces) {
  DiffEncoder encoder;
  std::vector<ByteVector> stream;
  for (const auto& piece : pieces) stream.push_back(encoder.next(piece));
  return stream;
}

// How many pieces are taken before one is refused.
std::size_t taken(const std::vector<ByteVector>& stream) {
  DiffDecoder decoder;
  for (std::size_t i = 0; i < stream.size(); ++i) {
    const auto piece = decoder.next(stream[i]);
    if (piece.ok()) continue;
    CHECK(piece.code() == Code::kCorrupt);
    return i;
  }
  return stream.size();
}

// The first piece of `pieces` that cannot be where it is.
std::size_t fitting(const std::vector<DiffPiece>& pieces) { return taken(encoded(pieces)); }

}  // namespace

TEST_CASE("golden: a stream of a diff") {
  ByteVector all;
  for (const auto& piece : encoded(sample())) Writer(all).put_raw(piece);
  CHECK(test::hex_lines(all) == test::golden_hex("diff_stream", all));
  const auto golden = test::golden_bytes("diff_stream");
  Bytes left = golden;
  DiffDecoder decoder;
  for (const auto& piece : sample()) {
    const auto size = 16 + Reader(left.subspan(12)).get<std::uint32_t>() + 8;
    CHECK(*decoder.next(left.first(size)) == piece);
    left = left.subspan(size);
  }
  CHECK(left.empty());
  CHECK(decoder.ended());
  CHECK(decoder.next(golden).code() == Code::kCorrupt);
}

TEST_CASE("a piece of a diff that was changed or cut is refused, and all behind it") {
  const auto good = encoded(sample());
  REQUIRE(taken(good) == good.size());
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (std::size_t at = 0; at < good[i].size(); ++at) {
      auto bad = good;
      bad[i][at] ^= std::byte{1};
      REQUIRE(taken(bad) == i);
      bad = good;
      bad[i].resize(at);
      REQUIRE(taken(bad) == i);
    }
  }
  DiffDecoder decoder;
  CHECK(decoder.next(good[0]).ok());
  CHECK(!decoder.next(good[2]).ok());
  CHECK(!decoder.next(good[1]).ok());
}

TEST_CASE(
    "a stream of a diff with a piece missing, twice, swapped or of another stream is refused") {
  const auto good = encoded(sample());
  auto other_header = header();
  other_header.target = snapshot(300);
  DiffEncoder encoder;
  std::vector<ByteVector> other{encoder.next(other_header)};
  for (std::size_t i = 1; i < good.size(); ++i) other.push_back(encoder.next(sample()[i]));
  for (std::size_t i = 0; i + 1 < good.size(); ++i) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    auto bad = good;
    bad.erase(bad.begin() + at);
    CHECK(taken(bad) == i);
    bad = good;
    bad.insert(bad.begin() + at, good[i]);
    CHECK(taken(bad) == i + 1);
    bad = good;
    std::swap(bad[i], bad[i + 1]);
    CHECK(taken(bad) == i);
    bad = good;
    bad[i + 1] = other[i + 1];
    CHECK(taken(bad) == i + 1);
  }
}

TEST_CASE("the pieces of a diff have one order") {
  auto pieces = sample();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    for (std::size_t j = i + 1; j < pieces.size(); ++j) {
      if (pieces[i].index() == 1 && i == 1 && j == 2) continue;  // see below: by address
      auto swapped = pieces;
      std::swap(swapped[i], swapped[j]);
      CHECK(fitting(swapped) < pieces.size());
    }
  }
  const auto refused = [&](std::size_t at, const DiffPiece& piece) {
    auto changed = pieces;
    changed[at] = piece;
    return fitting(changed) == at;
  };
  CHECK(refused(1, DiffItems{false, {}, {hole(5, 0, 4096)}}));  // in front of the cursor
  CHECK(refused(1, DiffItems{false, {}, {hole(4, 8192, 4096)}}));
  CHECK(refused(1, DiffItems{false, {}, {hole(5, 8192, 8192), hole(5, 12288, 4096)}}));
  CHECK(refused(2, DiffItems{false, {}, {mapped(5, 8192)}}));
  CHECK(refused(3, DiffItems{true, {}, {mapped(5, 8192), mapped(5, 4096)}}));
  CHECK(refused(4, DiffRecords{{records().records[1], records().records[0]}}));
  CHECK(refused(4, DiffRecords{{records().records[0], records().records[0]}}));
  CHECK(refused(5, DiffSessions{{session(9), session(9)}}));
  CHECK(refused(6, DiffSnapshots{{{snapshot(200), 1}, {snapshot(100), 1}}}));
  CHECK(refused(6, DiffSnapshots{{{snapshot(100), 1}}}));
  auto forked = snapshot(200);
  forked.chain[0] ^= std::byte{1};
  CHECK(refused(6, DiffSnapshots{{{forked, 1}}}));
  auto end = std::get<DiffEnd>(pieces[7]);
  end.rewrites = Sequence(199);
  CHECK(refused(7, end));
  for (auto count :
       {&DiffCounts::items, &DiffCounts::extents, &DiffCounts::records, &DiffCounts::sessions}) {
    end = std::get<DiffEnd>(pieces[7]);
    ++(end.counts.*count);
    CHECK(refused(7, end));
  }
}

TEST_CASE("a diff whose ends are not in order, or whose items cannot be, does not decode") {
  const auto refused = [](const DiffPiece& piece) {
    const auto body = encode_diff_body(piece);
    return decode_diff_body(static_cast<std::uint8_t>(piece.index()), body).code() ==
           Code::kCorrupt;
  };
  auto bad = header();
  bad.base->snapshot = bad.target;
  CHECK(refused(bad));
  bad = header();
  bad.base->rewrites_from = Sequence(99);
  CHECK(refused(bad));
  for (const auto& item :
       {hole(5, 1, 4096), hole(5, 0, 1), hole(5, 0, 0), hole(5, ~std::uint64_t{4095}, 4096)})
    CHECK(refused(DiffItems{false, {}, {item}}));
  auto item = mapped(5, 0);
  item.length = 8192;  // behind the extent's end
  CHECK(refused(DiffItems{false, {}, {item}}));
  item = mapped(5, 0);
  item.mapping.extent.plain_bytes = 2u << 20;
  CHECK(refused(DiffItems{false, {}, {item}}));
  auto stored = extent();
  stored.stored.pop_back();
  CHECK(refused(DiffItems{false, {stored}, {}}));
  CHECK(refused(DiffRecords{{{"", std::nullopt}}}));
  CHECK(refused(DiffRecords{{{std::string(513, 'k'), std::nullopt}}}));
  CHECK(refused(DiffRecords{{{"k", ByteVector((64u << 10) + 1)}}}));
  CHECK(decode_diff_body(6, {}).code() == Code::kCorrupt);
  ByteVector many;  // a count that the bytes cannot hold
  Writer(many).put(~std::uint32_t{0});
  CHECK(decode_diff_body(2, many).code() == Code::kCorrupt);
}

TEST_CASE("another source goes on where the pieces that have arrived end") {
  const auto stream = encoded(sample());
  DiffDecoder decoder;
  CHECK(decoder.next(stream[0]).ok());
  CHECK(decoder.cursor() == header().cursor);
  CHECK(decoder.next(stream[1]).ok());
  CHECK(decoder.cursor() == DiffCursor{VolumeId(5), 12288});
  CHECK(decoder.next(stream[2]).ok());
  CHECK(decoder.next(stream[3]).ok());  // items sent again
  CHECK(decoder.cursor() == DiffCursor{VolumeId(6), 1u << 30});
}

TEST_CASE("a diff of a newer version is refused") {
  auto piece = encoded({header()})[0];
  piece[4] = std::byte{2};
  piece.resize(piece.size() - 8);
  ByteVector chained(8);
  Writer(chained).put_raw(piece);
  Writer(piece).put(codec::checksum64(chained));
  DiffDecoder decoder;
  CHECK(decoder.next(piece).code() == Code::kUnsupported);
}
