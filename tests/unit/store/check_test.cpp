// The engine against itself, and what it says of losses.

#include <map>
#include <set>

#include "base/planted.hpp"
#include "engine_fixture.hpp"
#include "pool/layout.hpp"
#include "store/findings.hpp"

using namespace square;
using namespace square::store;
using store::test::OneEngine;
using store::test::pattern;

namespace {

constexpr std::uint32_t kPiece = 32u << 10;

sim::NodeShape small_node(std::uint8_t k = 2, std::uint8_t m = 2, std::uint8_t spares = 0) {
  sim::NodeShape shape;
  shape.k = k;
  shape.m = m;
  shape.spares = spares;
  return shape;
}

// `count` pieces, then everything is in stripes and in a checkpoint.
std::vector<Buffer> fill(OneEngine& t, std::size_t count) {
  std::vector<Buffer> pieces;
  for (std::size_t i = 0; i < count; ++i) {
    pieces.push_back(pattern(kPiece, i));
    REQUIRE(t.write(i * kPiece, pieces.back()).ok());
  }
  REQUIRE(t.run(t.engine().checkpoint()).ok());
  t.world.run_for(std::chrono::seconds(1));
  return pieces;
}

std::string checked(OneEngine& t) {
  const auto differences = t.run(t.engine().check());
  REQUIRE(differences.ok());
  return *differences;
}

}  // namespace

TEST_CASE("a check finds no difference after writes, overwrites, cleaning and a crash") {
  OneEngine t(small_node());
  CHECK(checked(t).empty());
  fill(t, 40);
  CHECK(checked(t).empty());
  for (std::size_t i = 0; i < 40; i += 2) REQUIRE(t.write(i * kPiece, pattern(kPiece, 99)).ok());
  CHECK(checked(t).empty());
  REQUIRE(t.run(t.engine().checkpoint()).ok());
  CHECK(checked(t).empty());
  t.node.crash(sim::CrashKind::kPowerLoss, 0);
  t.start();
  CHECK(checked(t).empty());
  t.world.run_for(std::chrono::seconds(3));
  CHECK(checked(t).empty());
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("a check names every stripe that index and summary tell differently") {
  REQUIRE(set_planted_bug("summary_misses_stripe").ok());
  OneEngine t(small_node());
  fill(t, 100);
  const auto text = checked(t);
  clear_planted_bugs();
  INFO(text);
  CHECK(text.find("the index has it, the segment's summary does not") != std::string::npos);
  CHECK(std::ranges::count(text, '\n') > 2);  // in each closed segment
}
#endif

TEST_CASE("of very many differences the first are named, and the others counted") {
  Findings findings;
  CHECK(findings.text().empty());
  for (int i = 0; i < 1000; ++i) findings.add("difference " + std::to_string(i));
  CHECK(std::ranges::count(findings.text(), '\n') == 200);
  CHECK(findings.text().ends_with("and 800 more differences"));
}

TEST_CASE("rot beyond parity costs what it hit, and everything else goes on") {
  OneEngine t(small_node());
  const auto pieces = fill(t, 24);
  // The first stripe of one segment, on three of its four disks.
  const auto segment = [&] {
    for (SegmentId id; id.value < t.pool().geometry().chunks; id = id.next())
      if (const auto view = t.pool().segment(id);
          view && view->closed && view->kind != pool::StripeClass::kIndex)
        return id;
    return SegmentId(0);
  }();
  const auto offset = pool::chunk_offset(t.pool().geometry(), segment);
  for (std::size_t i = 0; i < 3; ++i) t.node.medium(i).spoil(offset, 16u << 10, i);
  const auto readable = [&] {
    std::size_t count = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto got = t.read(i * kPiece, kPiece);
      const bool right = got.ok() && std::ranges::equal(got->bytes(), pieces[i].bytes());
      CHECK((right || got.code() == Code::kDataLoss));
      count += right ? 1 : 0;
    }
    return count;
  };
  const auto left = readable();
  CHECK(left < pieces.size());
  CHECK(left + 4 >= pieces.size());
  CHECK(*t.engine().has_losses());
  const auto losses = t.run(t.engine().losses(100));
  REQUIRE(losses.ok());
  CHECK_FALSE(losses->ranges.empty());
  t.world.run_for(std::chrono::seconds(5));  // the cleaner wants to empty the damaged segment
  CHECK(readable() == left);
  CHECK(t.write(100 * kPiece, pattern(kPiece, 5)).ok());
  REQUIRE(t.run(t.engine().checkpoint()).ok());
  // What is overwritten is lost no more.
  for (std::size_t i = 0; i < pieces.size(); ++i) REQUIRE(t.write(i * kPiece, pieces[i]).ok());
  REQUIRE(t.run(t.engine().checkpoint()).ok());
  CHECK_FALSE(*t.engine().has_losses());
  CHECK(readable() == pieces.size());
}

// Every three of four members of 2 + 2: what is lost is named to the byte, what is not reads on.
TEST_CASE("a loss beyond parity is named by volume and range, and never served as zeros") {
  for (std::size_t kept = 0; kept < 4; ++kept) {
    INFO("only disk " << kept << " is left");
    OneEngine t(small_node());
    const auto pieces = fill(t, 12);
    CHECK(t.run(t.engine().losses(100))->volumes.empty());
    for (std::size_t i = 0; i < 4; ++i)
      if (i != kept) t.node.medium(i).set_vanished(true);
    REQUIRE(t.run(t.pool().reconcile()).ok());
    const auto losses = t.run(t.engine().losses(1'000'000));
    REQUIRE(losses.ok());
    std::set<std::uint64_t> lost;  // blocks
    std::uint64_t bytes = 0;
    for (const auto& range : losses->ranges) {
      CHECK(range.volume == t.volume);
      CHECK(range.snapshot.empty());
      bytes += range.length;
      for (auto at = range.offset; at < range.offset + range.length; at += kBlockBytes)
        CHECK(lost.insert(at / kBlockBytes).second);
    }
    REQUIRE(losses->volumes.size() == 1);
    CHECK(losses->volumes[0].name == "v");
    CHECK(losses->volumes[0].bytes == bytes);
    CHECK(losses->volumes[0].ranges == losses->ranges.size());
    CHECK(bytes > 0);
    CHECK(bytes < pieces.size() * kPiece);  // an extent in the strip that is left can be read
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      for (std::uint64_t at = 0; at < kPiece; at += kBlockBytes) {
        const auto got = t.read(i * kPiece + at, kBlockBytes);
        if (lost.contains((i * kPiece + at) / kBlockBytes)) {
          CHECK(got.failed_with(Code::kDataLoss));
        } else {
          REQUIRE(got.ok());
          REQUIRE(std::ranges::equal(got->bytes(), pieces[i].bytes().subspan(at, kBlockBytes)));
        }
      }
    }
    const auto few = t.run(t.engine().losses(3));
    REQUIRE(few.ok());
    CHECK(few->ranges.size() == 3);
    CHECK(few->volumes[0].ranges == losses->ranges.size());
  }
}
