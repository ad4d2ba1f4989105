#include "pool/segments.hpp"

#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

namespace {

Geometry small_geometry() {
  Geometry geometry;
  geometry.k = 2;
  geometry.m = 1;
  geometry.chunk_bytes = 64u << 10;
  geometry.chunks = 64;
  return geometry;
}

const std::vector<Slot> kLive{Slot(0), Slot(1), Slot(2)};

}  // namespace

TEST_CASE("stripes of one segment follow each other, and each use has a generation of its own") {
  SegmentTable table(small_geometry());
  table.serve(7);
  const std::vector<std::uint32_t> item{5000};
  std::uint32_t next = 0;
  // 16 blocks, of which two are kept for the summary and its footer.
  for (int i = 0; i < 14; ++i) {
    const auto range = table.allocate(StripeClass::kFresh, kLive, item);
    REQUIRE(range.ok());
    CHECK(range->generation == format::Generation{7, 1});
    CHECK(range->stripe_block == next);
    next += range->packing.strip_blocks;
  }
  const auto range = table.allocate(StripeClass::kFresh, kLive, item);
  CHECK(range->generation == format::Generation{7, 2});
  CHECK(table.closed_data_segments().size() == 1);
}

TEST_CASE("rotation is undone by its inverse") {
  const std::vector<Slot> base{Slot(4), Slot(1), Slot(7), Slot(2), Slot(0)};
  for (std::uint32_t block = 0; block < 100; ++block)
    CHECK(unrotated(rotated(base, SegmentId(3), block), SegmentId(3), block) == base);
}

TEST_CASE("classes do not share segments, and the reserves are kept for whom they are") {
  SegmentTable table(small_geometry());
  table.serve(1);
  const std::vector<std::uint32_t> whole{100'000};
  const auto take_all = [&](StripeClass kind) {
    int taken = 0;
    while (table.allocate(kind, kLive, whole).ok()) ++taken;
    CHECK(table.allocate(kind, kLive, whole).code() == Code::kNoSpace);
    return taken;
  };
  CHECK(take_all(StripeClass::kFresh) == 64 - 6);
  CHECK(take_all(StripeClass::kCleaned) == 3);
  CHECK(take_all(StripeClass::kIndex) == 3);
}

TEST_CASE("a segment comes back only after a checkpoint that began after its release") {
  SegmentTable table(small_geometry());
  std::vector<SegmentId> discarded;
  table.on_discard = [&](SegmentId id) { discarded.push_back(id); };
  table.serve(1);
  const std::vector<std::uint32_t> whole{100'000};
  const auto range = table.allocate(StripeClass::kFresh, kLive, whole);
  const auto early = table.checkpoint_begins();
  table.release(range->segment);
  table.checkpoint_done(early);
  CHECK(discarded.empty());
  table.checkpoint_done(table.checkpoint_begins());
  CHECK(discarded == std::vector{range->segment});
  CHECK(table.in_use(range->segment));
  table.discarded(range->segment);
  CHECK_FALSE(table.in_use(range->segment));
}

TEST_CASE("a reader keeps its segment from being reused") {
  const auto table = std::make_shared<SegmentTable>(small_geometry());
  int discards = 0;
  table->on_discard = [&](SegmentId) { ++discards; };
  table->serve(1);
  const std::vector<std::uint32_t> whole{100'000};
  const auto id = table->allocate(StripeClass::kFresh, kLive, whole)->segment;
  {
    const SegmentTable::Reader reader(table, id);
    table->release(id);
    table->checkpoint_done(table->checkpoint_begins());
    CHECK(discards == 0);
  }
  CHECK(discards == 1);
}

TEST_CASE("an adopted stripe makes its segment used; of two generations the newer counts") {
  SegmentTable table(small_geometry());
  format::StripeDescriptor stripe;
  stripe.segment = SegmentId(5);
  stripe.generation = {3, 9};
  stripe.strip_blocks = 1;
  stripe.stripe_block = 2;
  stripe.k = 2;
  stripe.m = 1;
  stripe.slots = {Slot(2), Slot(0), Slot(1)};
  stripe.checksums = {1, 2, 3};
  REQUIRE(table.adopt(stripe, StripeClass::kFresh).ok());
  auto old = stripe;
  old.generation = {3, 8};
  REQUIRE(table.adopt(old, StripeClass::kFresh).ok());
  CHECK(table.at(SegmentId(5)).generation == format::Generation{3, 9});
  CHECK(rotated(table.at(SegmentId(5)).slots, SegmentId(5), 2) == stripe.slots);
  format::SegmentEntry entry{SegmentId(6), {2, 2}, 0, false, 2, 1, kLive};
  REQUIRE(table.note_used(entry).ok());
  table.serve(4);
  CHECK(table.at(SegmentId(5)).state == SegmentTable::State::kClosed);
  CHECK(table.at(SegmentId(6)).state == SegmentTable::State::kReleased);
  CHECK(table.count(SegmentTable::State::kFree) == 62);
  stripe.segment = SegmentId(64);
  CHECK(table.adopt(stripe, StripeClass::kFresh).code() == Code::kCorrupt);
  entry.segment = SegmentId(64);
  CHECK(table.note_used(entry).code() == Code::kCorrupt);
}

TEST_CASE("what is counted as it changes is what a walk over all segments counts") {
  using State = SegmentTable::State;
  SegmentTable table(small_geometry());
  table.on_discard = [](SegmentId) {};
  format::SegmentEntry entry{SegmentId(6), {2, 2}, 0, false, 2, 1, kLive};
  REQUIRE(table.note_used(entry).ok());
  table.serve(3);
  const auto counted = [&] {
    for (const auto state :
         {State::kFree, State::kOpen, State::kClosed, State::kReleased, State::kDiscarding}) {
      std::uint32_t count = 0;
      for (SegmentId id; id.value < table.size(); id = id.next())
        count += table.at(id).state == state ? 1 : 0;
      if (table.count(state) != count) return false;
    }
    for (SegmentId id; id.value < table.size(); id = id.next()) {
      const auto& segment = table.at(id);
      const bool unindexed = segment.state == State::kClosed && !segment.indexed &&
                             segment.kind != StripeClass::kIndex;
      if (table.unindexed_segments().contains(id) != unindexed) return false;
    }
    return true;
  };
  sim::Rng rng(5);
  for (int i = 0; i < 2000; ++i) {
    const auto kind = static_cast<StripeClass>(rng.next() % 3);
    const SegmentId id(static_cast<std::uint32_t>(rng.next() % table.size()));
    const auto state = table.at(id).state;
    const auto what = rng.next() % 6;
    const std::vector<std::uint32_t> item{static_cast<std::uint32_t>(1 + rng.next() % 100'000)};
    if (what < 2) ignore(table.allocate(kind, kLive, item), "it may be full");
    if (what == 2 && state == State::kOpen) table.note_indexed(id);
    if (what == 3 && state == State::kClosed) table.release(id);
    if (what == 4) table.checkpoint_done(table.checkpoint_begins());
    if (what == 5 && state == State::kDiscarding) table.discarded(id);
    REQUIRE(counted());
  }
}

// ---- in the pool

namespace {

std::size_t fill_up(Cluster& t, StripeClass kind) {
  std::size_t stripes = 0;
  for (;; ++stripes) {
    const auto stored = t.store({t.pool->stripe_bytes_max()}, kind);
    if (stored.ok()) continue;
    CHECK(stored.code() == Code::kNoSpace);
    return stripes;
  }
}

}  // namespace

TEST_CASE("a full pool refuses fresh data; cleaning and checkpoints still find room") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  CHECK(fill_up(t, StripeClass::kFresh) > 10);
  CHECK(t.pool->status().free_fresh_bytes == 0);
  CHECK(t.pool->status().free_bytes > 0);
  for (std::uint64_t n = 1; n <= 20; ++n) REQUIRE(t.checkpoint(n, {n, n + 1}, 100'000).ok());
  CHECK(fill_up(t, StripeClass::kCleaned) > 1);
  for (std::uint64_t n = 21; n <= 40; ++n) REQUIRE(t.checkpoint(n, {n, n + 1}, 100'000).ok());
  CHECK(t.unreadable() == 0);

  const auto freed = t.pool->closed_segments().front();
  t.catalog.forget(freed);
  std::erase_if(t.stored, [&](const auto& item) { return item.place.segment == freed; });
  t.pool->release_segment(freed);
  CHECK(t.store({100'000}).code() == Code::kNoSpace);
}

TEST_CASE("released segments are reused after the next checkpoint, and the rest stays as it was") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  fill_up(t, StripeClass::kFresh);
  const auto closed = t.pool->closed_segments();
  for (std::size_t i = 0; i + 2 < closed.size(); ++i) {
    t.catalog.forget(closed[i]);
    std::erase_if(t.stored, [&](const auto& item) { return item.place.segment == closed[i]; });
    t.pool->release_segment(closed[i]);
  }
  CHECK(t.store({100'000}).code() == Code::kNoSpace);
  REQUIRE(t.checkpoint(1, {1}).ok());
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.store({100'000}).ok());
  CHECK(t.unreadable() == 0);
  t.crash();
  REQUIRE(t.reopen());
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a segment of which the index never took a stripe is found without looking at all") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  const std::size_t small = 5000;
  const auto lost = t.write({noise(small, 1)});
  REQUIRE(lost.ok());
  const auto segment = lost->stripe.segment;
  t.pool->forget_stripe(lost->stripe);
  CHECK(t.pool->barren_segments().empty());  // it is open
  // Fails, and takes the open segment with it.
  t.vanish(0);
  CHECK_FALSE(t.write({noise(small, 2)}).ok());
  CHECK(t.pool->barren_segments() == std::vector{segment});
  t.pool->release_segment(segment);
  CHECK(t.pool->barren_segments().empty());

  const auto taken = t.write({noise(small, 3)});
  REQUIRE(taken.ok());
  t.pool->stripe_is_indexed(taken->stripe);
  t.vanish(1);
  CHECK_FALSE(t.write({noise(small, 4)}).ok());
  CHECK(t.pool->is_closed(taken->stripe.segment));
  CHECK(t.pool->barren_segments().empty());
}

TEST_CASE("after a restart only what somebody names is in use") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  fill_up(t, StripeClass::kFresh);
  REQUIRE(t.checkpoint(1, {1}).ok());
  const auto keep = t.catalog.stripes.front();
  std::erase_if(t.catalog.stripes, [&](const auto& s) { return s.segment != keep.segment; });
  std::erase_if(t.stored, [&](const auto& i) { return i.place.segment != keep.segment; });
  t.crash();
  REQUIRE(t.reopen());
  // The checkpoint calls them used: they wait for the next one.
  CHECK(t.store({100'000}).code() == Code::kNoSpace);
  REQUIRE(t.checkpoint(2, {1}).ok());
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.store({100'000}).ok());
  CHECK(t.unreadable() == 0);
  CHECK(t.pool->status().segments_free + 6 > t.pool->geometry().chunks);
}
