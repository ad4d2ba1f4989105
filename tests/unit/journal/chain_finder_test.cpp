// Which of the batches found are the log.
#include "journal/chain_finder.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::journal;

namespace {

LaneConfig config() {
  LaneConfig config;
  config.ring_bytes = 64u << 10;
  return config;
}

format::JournalHeader batch(const format::LanePoint& before, std::uint32_t epoch,
                            format::LanePoint tail = {}, std::uint64_t durable = 0) {
  format::JournalHeader header;
  header.position = before.position;
  header.previous = before.chain;
  header.epoch.number = epoch;
  header.tail = tail;
  header.durable = LanePosition(std::max(durable, tail.position.value));
  return format::encode_journal_batch(header, {}).header;
}

void add(ChainFinder& finder, const format::JournalHeader& header, std::uint16_t slot = 0) {
  finder.add(Slot(slot), header.position.value % config().ring_bytes, header);
}

std::vector<format::JournalHeader> path(ChainFinder& finder) {
  std::vector<format::JournalHeader> headers;
  for (const auto* candidate : finder.path()) headers.push_back(candidate->header);
  return headers;
}

}  // namespace

TEST_CASE("the chain that reaches the higher epoch wins over a longer one") {
  ChainFinder finder(config(), {});
  const auto root = batch({}, 1);
  const auto old1 = batch(root.after(), 1), old2 = batch(old1.after(), 1),
             old3 = batch(old2.after(), 1), new1 = batch(root.after(), 2);
  for (const auto& header : {root, old1, old2, old3, new1}) add(finder, header);
  CHECK(path(finder) == std::vector{root, new1});
  CHECK(finder.highest_epoch().number == 2);
}

TEST_CASE("a branch counts by what is reached through it, and the longer of one epoch wins") {
  ChainFinder finder(config(), {});
  const auto a1 = batch({}, 1), a2 = batch(a1.after(), 5);
  const auto b1 = batch({}, 3), b2 = batch(b1.after(), 3);
  for (const auto& header : {a1, a2, b1, b2}) add(finder, header);
  CHECK(path(finder) == std::vector{a1, a2});
  const auto b3 = batch(b2.after(), 5);
  add(finder, b3);
  CHECK(path(finder) == std::vector{b1, b2, b3});
}

TEST_CASE("a batch that no copy has whole falls away with all that only it leads to") {
  ChainFinder finder(config(), {});
  const auto a1 = batch({}, 1), a2 = batch(a1.after(), 5), b1 = batch({}, 3);
  for (const auto& header : {a1, a2, b1}) add(finder, header);
  for (auto* candidate : finder.path()) {
    candidate->verified = true;
    if (candidate->header == a1) candidate->good.push_back(Slot(0));
  }
  CHECK(finder.drop_bad());
  CHECK(path(finder) == std::vector{b1});
  CHECK_FALSE(finder.drop_bad());
  CHECK(finder.highest_epoch().number == 5);
}

TEST_CASE("the log starts at the highest tail that is named, on its chain only") {
  const auto a1 = batch({}, 1), a2 = batch(a1.after(), 1),
             a3 = batch(a2.after(), 1, a1.after(), a2.position.value);
  const auto stranger = batch({a2.position, batch({}, 9).chain}, 9);
  ChainFinder finder(config(), {});
  for (const auto& header : {a1, a2, a3, stranger}) add(finder, header);
  CHECK(finder.tail() == a1.after());
  CHECK(path(finder) == std::vector{a2, a3});
  CHECK(finder.durable_claim() == a2.position);
}

TEST_CASE("headers of another place, lane or pool are not taken") {
  ChainFinder finder(config(), {});
  auto header = batch({}, 4);
  finder.add(Slot(0), 4096, header);
  header.lane = 1;
  add(finder, header);
  header.lane = 0;
  header.pool.uuid.bytes[0] = 1;
  add(finder, header);
  CHECK(path(finder).empty());
  CHECK(finder.highest_epoch() == Epoch{});
}

TEST_CASE("a lost disk's copies do not count") {
  ChainFinder finder(config(), {});
  const auto header = batch({}, 1);
  add(finder, header, 1);
  add(finder, header, 2);
  CHECK(finder.path()[0]->copies == std::vector{Slot(1), Slot(2)});
  finder.lose(Slot(1));
  CHECK(finder.path()[0]->copies == std::vector{Slot(2)});
}
