#include <catch2/catch.hpp>

#include "base/planted.hpp"
#include "format/index_keys.hpp"
#include "unit/index/index_world.hpp"

using namespace square;
using namespace square::index_test;

namespace {

constexpr VolumeId kVolume{9};

// "[0+3 e1.0@2] [3+1 hole] [4+12 -]": block, count, and what stands there.
std::string text(const std::vector<Piece>& pieces) {
  std::string out;
  for (const auto& piece : pieces) {
    out += "[" + std::to_string(piece.offset / kBlock) + "+" +
           std::to_string(piece.length / kBlock) + " ";
    if (!piece.mapping)
      out += "-";
    else if (piece.mapping->hole)
      out += "hole";
    else
      out += "e" + std::to_string(piece.mapping->extent.id.sequence.value) + "." +
             std::to_string(piece.mapping->extent.id.index) + "@" +
             std::to_string(piece.mapping->extent_offset / kBlock);
    out += "]";
  }
  return out;
}
std::string text(const std::vector<Change>& changes) {
  std::string out;
  for (const auto& change : changes)
    out += std::to_string(change.volume.value) + text(std::vector<Piece>{change.piece});
  return out;
}

struct Fixture : Node {
  Log log;
  std::string at(std::uint64_t block, std::uint64_t count,
                 std::optional<Sequence> snapshot = std::nullopt) {
    apply(log);
    return text(must(index->lookup(kGroup, kVolume, block * kBlock, count * kBlock, snapshot)));
  }
  std::string record(const std::string& key, std::optional<Sequence> snapshot = std::nullopt) {
    const auto value = must(index->record(kGroup, key, snapshot));
    return value ? std::string(as_text(*value)) : "-";
  }
  Sequence mark() { return log.mark().sequence; }
  std::uint64_t live_bytes() {
    std::uint64_t live = 0;
    for (const auto& use : must(index->segment_uses())) live += use.live_bytes;
    return live;
  }
  // Takes the present's mapping that ends there away, as a fault would.
  void lose(std::uint64_t end_block) {
    KvBatch batch;
    const auto key = range_key(present_prefix(kGroup), {kVolume, end_block * kBlock});
    batch.erase(Family::kPresent, as_bytes(key));
    must(index->kv().write(batch));
  }
  void reopen() {
    must(index->kv().flush());
    index.reset();
    index = must(Index::open(must(factory.open_local())));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "what was never written has no mapping, the rest of its unit is a hole") {
  CHECK(at(0, 100) == "[0+100 -]");
  log.write(kVolume, 18, {2});
  CHECK(at(0, 64) == "[0+16 -][16+2 hole][18+2 e1.0@0][20+12 hole][32+32 -]");
  CHECK(at(19, 1) == "[19+1 e1.0@1]");
  CHECK(at(10, 0).empty());
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "an overwrite leaves the parts of the old extent that stick out") {
  log.write(kVolume, 0, {8});
  log.write(kVolume, 2, {3});
  CHECK(at(0, 8) == "[0+2 e1.0@0][2+3 e2.0@0][5+3 e1.0@5]");
  log.write(kVolume, 0, {5});
  CHECK(at(0, 8) == "[0+5 e3.0@0][5+3 e1.0@5]");
  log.hole(kVolume, 4, 2);
  log.hole(kVolume, 6, 1);
  CHECK(at(0, 8) == "[0+4 e3.0@0][4+3 hole][7+1 e1.0@7]");
  CHECK(live_bytes() == 5 * kBlock);
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "a hole over what was never written changes nothing, of any size") {
  log.write(kVolume, 40, {1});
  apply(log);
  log.hole(kVolume, 0, 1ull << 36);
  CHECK(at(0, 64) == "[0+32 -][32+16 hole][48+16 -]");
  CHECK(live_bytes() == 0);
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "a snapshot keeps what was there, holes and nothing included") {
  log.write(kVolume, 0, {4});
  log.hole(kVolume, 2, 1);
  const auto first = mark();
  log.write(kVolume, 0, {2});
  log.write(kVolume, 2, {1});
  log.write(kVolume, 32, {1});
  const auto second = mark();
  log.hole(kVolume, 0, 64);
  CHECK(at(0, 16) == "[0+16 hole]");
  CHECK(at(0, 4, first) == "[0+2 e1.0@0][2+1 hole][3+1 e1.0@3]");
  CHECK(at(0, 4, second) == "[0+2 e4.0@0][2+1 e5.0@0][3+1 e1.0@3]");
  CHECK(at(32, 1, first) == "[32+1 hole]");
  CHECK(at(32, 1, second) == "[32+1 e6.0@0]");
  const auto missing = index->lookup(kGroup, kVolume, 0, kBlock, Sequence(2));
  CHECK(missing.code() == Code::kNotFound);
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "the first save wins: later overwrites do not reach the snapshot") {
  log.write(kVolume, 0, {4});
  const auto snapshot = mark();
  for (int i = 0; i < 3; ++i) log.write(kVolume, 1, {2});
  CHECK(at(0, 4, snapshot) == "[0+1 e1.0@0][1+2 e1.0@1][3+1 e1.0@3]");
  const auto diff = must(index->diff(kGroup, snapshot, std::nullopt, {}, 100));
  CHECK(text(diff) == "9[1+2 e5.0@0]");
}

TEST_CASE_METHOD(Fixture, "dropping a middle snapshot moves its history to its elder, in steps") {
  log.write(kVolume, 0, {8});
  const auto oldest = mark();
  const auto middle = mark();
  for (std::uint64_t b = 0; b < 8; b += 2) log.write(kVolume, b, {1});
  const auto newest = mark();
  log.hole(kVolume, 0, 8);
  log.drop(middle);
  apply(log);
  CHECK(index->snapshots(kGroup).size() == 2);
  CHECK(index->lookup(kGroup, kVolume, 0, kBlock, middle).code() == Code::kNotFound);
  int steps = 0;
  do {
    CHECK(at(0, 8, oldest) ==
          "[0+1 e1.0@0][1+1 e1.0@1][2+1 e1.0@2][3+1 e1.0@3]"
          "[4+1 e1.0@4][5+1 e1.0@5][6+1 e1.0@6][7+1 e1.0@7]");
    CHECK(text(must(index->diff(kGroup, oldest, newest, {}, 100))) ==
          "9[0+1 e4.0@0]9[2+1 e5.0@0]9[4+1 e6.0@0]9[6+1 e7.0@0]");
    must(index->check());
    ++steps;
  } while (must(index->merge_step(kGroup, 1)));
  CHECK(steps == 5);
  CHECK_FALSE(must(index->merge_step(kGroup, 1)));
  log.drop(oldest);
  log.drop(newest);
  apply(log);
  while (must(index->merge_step(kGroup, 1))) {
  }
  CHECK(live_bytes() == 0);
  CHECK(must(index->live_extents(SegmentId(1))).empty());
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "a drop that names another branch's snapshot does nothing") {
  const auto snapshot = mark();
  auto& drop = log.drop(snapshot);
  std::get<DropBody>(drop.body).snapshot.chain[0] ^= std::byte{1};
  apply(log);
  CHECK(index->snapshots(kGroup).size() == 1);
  CHECK(index->snapshots(kGroup)[0].id == log.operations[0].snapshot_id());
  CHECK(index->snapshots(kGroup)[0].wall_ns == 1000);
}

TEST_CASE_METHOD(Fixture, "records are as they were at each snapshot") {
  log.put("vol/a", "1");
  log.put("vol/b", "1");
  log.put("x", "1");
  const auto first = mark();
  log.put("vol/a", "2");
  log.put("vol/a", "3");
  log.erase("vol/b");
  log.put("vol/c", "");
  const auto second = mark();
  log.erase("vol/a");
  apply(log);
  CHECK(record("vol/a") == "-");
  CHECK(record("vol/a", first) == "1");
  CHECK(record("vol/a", second) == "3");
  CHECK(record("vol/c", first) == "-");
  CHECK(record("vol/c", second).empty());
  const auto keys = [&](std::optional<Sequence> at) {
    std::string out;
    for (const auto& [key, value] : must(index->records(kGroup, "vol/", at)))
      out += key + "=" + std::string(as_text(value)) + " ";
    return out;
  };
  CHECK(keys(std::nullopt) == "vol/c= ");
  CHECK(keys(first) == "vol/a=1 vol/b=1 ");
  CHECK(keys(second) == "vol/a=3 vol/c= ");
  log.drop(second);
  apply(log);
  while (must(index->merge_step(kGroup, 1))) {
  }
  CHECK(keys(first) == "vol/a=1 vol/b=1 ");
}

TEST_CASE_METHOD(Fixture, "a lost entry is data loss, never zeros; its neighbours are named") {
  log.write(kVolume, 0, {4, 4, 4});
  apply(log);
  lose(8);
  const auto found = index->lookup(kGroup, kVolume, 0, 16 * kBlock);
  REQUIRE(found.code() == Code::kDataLoss);
  CHECK_THAT(found.error().message, Catch::Contains("volume 9, bytes 16384 to 32768"));
  CHECK(at(0, 4) == "[0+4 e1.0@0]");
  CHECK(at(8, 4) == "[8+4 e1.2@0]");
  CHECK(index->check().code() == Code::kCorrupt);
  log.write(kVolume, 4, {4});
  CHECK(at(4, 4) == "[4+4 e2.0@0]");
#ifdef SQUARE_PLANTED_BUGS
  lose(8);
  must(set_planted_bug("lost_entry_reads_zero"));
  CHECK(at(4, 4) == "[4+4 -]");
  clear_planted_bugs();
#endif
}

TEST_CASE_METHOD(Fixture, "a snapshot never takes a lost entry for a hole: the index stops") {
  log.write(kVolume, 0, {4});
  mark();
  apply(log);
  lose(4);
  auto& op = log.write(kVolume, 0, {4});
  const auto stripe =
      stripe_of({{kGroup, kVolume, 0, 4 * kBlockBytes, 100, {1, op.sequence, 0}, 0}});
  std::get<WriteBody>(op.body).extents[0].extent.place = place_in(stripe, 0);
  CHECK(index->apply({&op, 1}, {&stripe, 1}, std::nullopt).code() == Code::kCorrupt);
  CHECK(index->lookup(kGroup, kVolume, 0, kBlock).code() == Code::kCorrupt);
  CHECK(index->set_checkpoint({}, 0, {}).code() == Code::kCorrupt);
}

TEST_CASE_METHOD(Fixture, "a rewrite changes only what still is the extent that it read") {
  log.write(kVolume, 0, {8});
  const auto snapshot = mark();
  log.write(kVolume, 2, {2});
  auto body = log.body(kVolume, 0, {8});
  body.expected = {ExtentId{1, Sequence(1), 0}};
  log.add(OperationType::kRewrite, body);
  CHECK(at(0, 8) == "[0+2 e4.0@0][2+2 e3.0@0][4+4 e4.0@4]");
  CHECK(text(must(index->diff(kGroup, snapshot, std::nullopt, {}, 9))) == "9[2+2 e3.0@0]");
  CHECK(at(0, 8, snapshot) == "[0+2 e4.0@0][2+2 e4.0@2][4+4 e4.0@4]");
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "a move changes the place in present and histories, and nothing newer") {
  log.write(kVolume, 0, {8});
  const auto snapshot = mark();
  log.write(kVolume, 0, {2});
  apply(log, 3);
  auto live = must(index->live_extents(SegmentId(1)));
  REQUIRE(live.size() == 2);
  live.resize(1);
  REQUIRE(live[0].from.id.sequence == Sequence(1));
  log.hole(kVolume, 4, 1);
  apply(log);
  close_segment();
  move(live);
  const auto pieces = must(index->lookup(kGroup, kVolume, 0, 8 * kBlock));
  CHECK(text(pieces) == "[0+2 e3.0@0][2+2 e1.0@2][4+1 hole][5+3 e1.0@5]");
  CHECK(pieces[0].mapping->extent.place.segment == SegmentId(1));
  CHECK(pieces[1].mapping->extent.place.segment == SegmentId(2));
  for (const auto& piece : must(index->lookup(kGroup, kVolume, 0, 8 * kBlock, snapshot)))
    CHECK(piece.mapping->extent.place.segment == SegmentId(2));
  must(index->check());
  CHECK(index->forget_segment(SegmentId(1)).code() == Code::kConflict);
}

TEST_CASE_METHOD(Fixture, "a purge waits for every held snapshot that names the volume") {
  log.put(volume_record(kVolume), "made");
  log.write(kVolume, 3, {40, 40});
  const auto snapshot = mark();
  log.write(kVolume, 10, {1});
  log.erase(volume_record(kVolume));
  log.purge(kVolume);
  apply(log);
  CHECK_FALSE(must(index->purge_step(kGroup, 10)));
  CHECK(at(3, 2) == "[3+2 e2.0@0]");
  log.drop(snapshot);
  apply(log);
  reopen();
  int steps = 0;
  while (must(index->purge_step(kGroup, 1))) {
    must(index->check());
    ++steps;
  }
  CHECK(steps > 2);
  CHECK(at(0, 96) == "[0+96 -]");
  CHECK(live_bytes() == 0);
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "everything is there again after reopening") {
  log.put("a", "1");
  log.write(kVolume, 0, {4});
  mark();
  auto& op = log.write(kVolume, 1, {1});
  op.session = SessionId(4);
  op.request = RequestNumber(6);
  apply(log);
  must(index->set_checkpoint({5, 9}, 3, {LanePosition(4096), {}}));
  const auto applied = index->applied(kGroup);
  const auto uses = must(index->segment_uses());
  reopen();
  CHECK(index->applied(kGroup) == applied);
  CHECK(applied == Applied{op.sequence, op.chain});
  CHECK(index->groups() == std::vector{kGroup});
  CHECK(index->lane_point(3).position == LanePosition(4096));
  CHECK(index->lane_point(4).position == LanePosition(0));
  CHECK(index->snapshots(kGroup).size() == 1);
  CHECK(must(index->segment_uses()).size() == uses.size());
  REQUIRE(index->sessions(kGroup).size() == 1);
  CHECK(index->sessions(kGroup)[0].requests.contains(RequestNumber(6)));
  must(index->check());
}

TEST_CASE_METHOD(Fixture, "a session's window tells done, not done and forgotten apart") {
  for (const auto number : {5u, 3u, 700u, 1500u, 1400u, 20u}) {
    auto& op = log.add(OperationType::kVoid, EmptyBody{});
    op.session = SessionId(1);
    op.request = RequestNumber(number);
  }
  apply(log, 2);
  auto window = index->sessions(kGroup).at(0);
  CHECK(window.requests.contains(RequestNumber(3)));
  CHECK(window.requests.contains(RequestNumber(5)));
  CHECK_FALSE(window.requests.contains(RequestNumber(4)));
  CHECK_FALSE(window.requests.forgotten(RequestNumber(4)));
  apply(log);
  window = index->sessions(kGroup).at(0);
  CHECK(window.requests.highest == RequestNumber(1500));
  for (const auto number : {700u, 1400u, 1500u})
    CHECK(window.requests.contains(RequestNumber(number)));
  for (const auto number : {699u, 1029u, 1027u})
    CHECK_FALSE(window.requests.contains(RequestNumber(number)));
  CHECK(window.requests.forgotten(RequestNumber(20)));
  CHECK_FALSE(window.requests.contains(RequestNumber(5)));
  CHECK(window.requests.forgotten(RequestNumber(476)));
  CHECK_FALSE(window.requests.forgotten(RequestNumber(477)));
  auto& end = log.add(OperationType::kSessionEnd, SessionEndBody{SessionId(1)});
  end.session = SessionId(1);
  apply(log);
  CHECK(index->sessions(kGroup).empty());
  reopen();
  CHECK(index->sessions(kGroup).empty());
}

TEST_CASE_METHOD(Fixture, "a diff cuts at the cursor, obeys the limit and refuses unknown ends") {
  log.write(kVolume, 0, {16});
  const auto from = mark();
  log.write(kVolume, 4, {4});
  log.hole(kVolume, 10, 4);
  const auto to = mark();
  log.write(kVolume, 5, {1});
  apply(log);
  const auto diff = [&](Index::Cursor cursor, std::size_t limit) {
    return text(must(index->diff(kGroup, from, to, cursor, limit)));
  };
  CHECK(diff({}, 1) == "9[4+1 e3.0@0]");
  CHECK(diff({kVolume, 5 * kBlock}, 9) == "9[5+1 e3.0@1]9[6+2 e3.0@2]9[10+4 hole]");
  CHECK(diff({kVolume, 11 * kBlock}, 9) == "9[11+3 hole]");
  CHECK(diff({kVolume, 14 * kBlock}, 9).empty());
  CHECK(diff({}, 0).empty());
  CHECK(text(must(index->diff(kGroup, std::nullopt, from, {}, 9))) ==
        "9[0+4 e1.0@0]9[4+4 e1.0@4]9[8+2 e1.0@8]9[10+4 e1.0@10]9[14+2 e1.0@14]");
  CHECK(index->diff(kGroup, to, from, {}, 9).code() == Code::kInvalid);
  CHECK(index->diff(kGroup, from, from, {}, 9).code() == Code::kInvalid);
  CHECK(index->diff(kGroup, Sequence(1), to, {}, 9).code() == Code::kNotFound);
}

TEST_CASE_METHOD(Fixture, "stripes are found, listed and forgotten; a new use drops a dead one") {
  log.write(kVolume, 0, {1});
  apply(log);
  CHECK(must(index->stripes_in(SegmentId(1))).size() == 1);
  CHECK(must(index->find_stripe(SegmentId(1), {1, 1}, 0))->extents.size() == 1);
  CHECK_FALSE(must(index->find_stripe(SegmentId(1), {1, 2}, 0)));
  std::size_t stripes = 0;
  must(index->for_each_stripe([&](const StripeDescriptor&) { ++stripes; }));
  CHECK(stripes == 1);
  const auto uses = must(index->segment_uses());
  REQUIRE(uses.size() == 1);
  CHECK(uses[0].live_bytes == kBlock);
  CHECK(uses[0].total_bytes == kBlock + 100);
  auto again = must(index->stripes_in(SegmentId(1)))[0];
  must(index->apply({}, {&again, 1}, std::nullopt));
  CHECK(must(index->segment_uses())[0].total_bytes == kBlock + 100);
  log.hole(kVolume, 0, 1);
  apply(log);
  again.generation = {2, 1};
  must(index->apply({}, {&again, 1}, std::nullopt));
  CHECK(must(index->stripes_in(SegmentId(1))).size() == 1);
  CHECK(must(index->stripes_in(SegmentId(1)))[0].generation == Generation{2, 1});
  must(index->check());
  must(index->forget_segment(SegmentId(1)));
  CHECK(must(index->segment_uses()).empty());
  CHECK(must(index->stripes_in(SegmentId(1))).empty());
}

TEST_CASE("an index of a newer format is refused, and so is one that makes no sense") {
  MapKvStorage storage;
  MapKvFactory factory(storage);
  const auto open_with = [&](const std::string& key, const std::string& value) {
    auto kv = must(factory.create_empty());
    KvBatch batch;
    batch.put(Family::kMeta, as_bytes(key), as_bytes(value));
    must(kv->write(batch));
    return Index::open(std::move(kv));
  };
  CHECK(open_with("v", {"\2\0\0\0", 4}).code() == Code::kUnsupported);
  CHECK(open_with("v", "abc").code() == Code::kCorrupt);
  CHECK(open_with("a", "abc").code() == Code::kCorrupt);
}

TEST_CASE_METHOD(Fixture, "check names a counter, a range and a stripe that do not fit") {
  log.write(kVolume, 0, {4, 4});
  apply(log);
  must(index->check());
  const auto stripe = stripe_key(SegmentId(1), {1, 1}, 0);
  KvBatch batch;
  batch.erase(Family::kStripes, as_bytes(stripe));
  must(index->kv().write(batch));
  CHECK_THAT(index->check().error().message, Catch::Contains("stripe is not known"));
  batch.clear();
  const auto key = range_key(present_prefix(kGroup), {kVolume, 8 * kBlock});
  const auto value = must(index->kv().get(Family::kPresent, as_bytes(key)));
  auto range = must(decode_range_value(*value));
  range.length = 8 * kBlock;
  range.mapping = Mapping{};
  batch.put(Family::kPresent, as_bytes(key), encode(range));
  must(index->kv().write(batch));
  CHECK_THAT(index->check().error().message,
             Catch::Contains("stripe is not known") || Catch::Contains("overlaps"));
}
