#include <set>

#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::same;
using pool::test::Shape;

namespace {

const Shape kShapes[] = {{8, 2, 2}, {4, 1, 0}, {2, 2, 1}, {10, 3, 0}};

void fill(Cluster& t) {
  REQUIRE(t.store({100}).ok());
  REQUIRE(t.store({4096, 70, 5000}).ok());
  REQUIRE(t.store({65'000, 66'000, 1, 40'000}).ok());
  REQUIRE(t.store(std::vector<std::size_t>(20, 9'000)).ok());
  REQUIRE(t.store({200'000}).ok());
}

}  // namespace

TEST_CASE("what was written to a stripe reads back, in every shape of pool") {
  for (const auto& shape : kShapes) {
    INFO(int(shape.k) << "+" << int(shape.m));
    Cluster t(shape);
    t.ready();
    fill(t);
    CHECK(t.unreadable() == 0);
    CHECK(t.pool->status().corruptions_found == 0);
    for (const auto& stripe : t.catalog.stripes) {
      CHECK(std::set(stripe.slots.begin(), stripe.slots.end()).size() == stripe.slots.size());
      CHECK(stripe.slots.size() == std::size_t{shape.k} + shape.m);
    }
  }
}

TEST_CASE("any m disks may go, and everything reads back") {
  for (const auto& shape : kShapes) {
    const std::size_t members = shape.k + shape.m;
    for (std::size_t a = 0; a < members; ++a) {
      for (std::size_t b = a; b < members; ++b) {
        if (shape.m < 2 && a != b) continue;
        INFO(int(shape.k) << "+" << int(shape.m) << ": " << a << " and " << b);
        Cluster t(shape);
        t.ready();
        fill(t);
        t.vanish(a);
        t.vanish(b);
        REQUIRE(t.unreadable() == 0);
      }
    }
  }
}

TEST_CASE("more than m lost disks are data loss that says where, never wrong bytes") {
  Cluster t(Shape{4, 1, 0});
  t.ready();
  REQUIRE(t.store({50'000}).ok());
  t.vanish(0);
  t.vanish(1);
  const auto bytes = t.read(t.stored[0]);
  REQUIRE_FALSE(bytes.ok());
  CHECK(bytes.code() == Code::kDataLoss);
  CHECK(bytes.error().message.find("segment") != std::string::npos);
}

TEST_CASE("a rotten strip is found, counted once, and its bytes are never returned") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.store({30'000, 30'000, 9'000}).ok());
  std::vector<format::StripeDescriptor> damaged;
  t.pool->on_damaged_stripe([&](const auto& stripe) { damaged.push_back(stripe); });
  const auto& stripe = t.catalog.stripes[0];
  const auto offset = chunk_offset(t.pool->geometry(), stripe.segment);
  std::size_t found = 0;
  for (std::size_t strip = 0; strip < 4; ++strip) {
    auto& medium = t.medium(stripe.slots[strip].value);
    const auto good = medium.peek(offset, stripe.strip_blocks * kBlockBytes);
    medium.spoil(offset, stripe.strip_blocks * kBlockBytes, 7);
    CHECK(t.unreadable() == 0);
    CHECK(t.unreadable() == 0);
    ++found;
    CHECK(t.pool->status().corruptions_found == found);
    t.world.run_for(std::chrono::seconds(1));
    CHECK(medium.peek(offset, stripe.strip_blocks * kBlockBytes) == good);
    CHECK(t.pool->status().corruptions_repaired == found);
  }
  CHECK(damaged.size() == 4);
  CHECK(damaged.at(0) == stripe);
}

TEST_CASE("rot on m strips of one stripe is survived, on m + 1 it is data loss") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.store({100'000}).ok());
  const auto stripe = t.catalog.stripes[0];
  const auto offset = chunk_offset(t.pool->geometry(), stripe.segment);
  for (std::size_t strip = 0; strip < 2; ++strip)
    t.medium(stripe.slots[strip].value).spoil(offset, kBlockBytes, strip);
  CHECK(t.unreadable() == 0);
  t.world.run_for(std::chrono::seconds(1));  // mended meanwhile
  CHECK(t.pool->status().corruptions_repaired == 2);
  for (std::size_t strip = 0; strip < 3; ++strip)
    t.medium(stripe.slots[strip].value).spoil(offset, kBlockBytes, strip);
  CHECK(t.read(t.stored[0]).code() == Code::kDataLoss);
}

TEST_CASE("an unreadable sector is read around and reported") {
  Cluster t(Shape{4, 1, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  int damaged = 0;
  t.pool->on_damaged_stripe([&](const auto&) { ++damaged; });
  const auto slot = t.catalog.stripes[0].slots[0];
  t.medium(slot.value).plan().arm({sim::DiskFault::kIoError, 1, sim::kRead, false});
  t.medium(slot.value).plan().arm({sim::DiskFault::kIoError, 2, sim::kRead, false});
  CHECK(t.unreadable() == 0);
  t.world.run_for(std::chrono::seconds(1));
  CHECK(damaged == 1);
  CHECK(t.lost.empty());
  CHECK(t.pool->disks()[slot.value].read_errors == 2);
}

TEST_CASE("a disk that does not give back what was mended has failed") {
  Cluster t(Shape{4, 1, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  const auto slot = t.catalog.stripes[0].slots[0];
  t.medium(slot.value).plan().arm({sim::DiskFault::kIoError, 1, sim::kRead, true});
  CHECK(t.unreadable() == 0);
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.lost == std::vector{slot});
  CHECK(t.unreadable() == 0);
}

TEST_CASE("content that is not what was expected is data loss, though every strip is sound") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  const Pool::Verify never = [](Bytes) { return false; };
  const auto bytes = t.node.run(t.pool->read_place(t.stored[0].place, 100, never));
  REQUIRE_FALSE(bytes.ok());
  CHECK(bytes.code() == Code::kDataLoss);
  CHECK(t.pool->status().corruptions_found == 0);
}

TEST_CASE("a place of another generation, or outside, is refused") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  auto place = t.stored[0].place;
  ++place.generation.counter;
  CHECK(t.node.run(t.pool->read_place(place, 100, {})).code() == Code::kNotFound);
  place = t.stored[0].place;
  CHECK(t.node.run(t.pool->read_place(place, 2 * kBlockBytes + 1, {})).code() == Code::kInvalid);
  place.segment = SegmentId(1u << 30);
  CHECK(t.node.run(t.pool->read_place(place, 100, {})).code() == Code::kNotFound);
}

TEST_CASE("a stripe that loses a member while it is written fails, and the next one is narrower") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  t.medium(2).plan().arm({sim::DiskFault::kIoError, 1, sim::kWrite, false});
  const auto failed = t.write({noise(100, 1)});
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.code() == Code::kIo);
  REQUIRE(t.store({50'000, 50'000}).ok());
  CHECK(t.catalog.stripes.back().k == 3);
  CHECK(t.catalog.stripes.back().m == 2);
  CHECK(t.lost == std::vector{Slot(2)});
  CHECK(t.unreadable() == 0);
  t.vanish(0);
  t.vanish(5);
  CHECK(t.read(t.stored.back()).ok());
}

TEST_CASE(
    "what was written with few members is counted as thin, and given to the cleaner when they are "
    "back") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  REQUIRE(t.store({100}).ok());
  CHECK(t.pool->status().segments_thin == 0);
  for (const std::size_t slot : {0, 1}) {
    t.vanish(slot);
    REQUIRE(t.node.run(t.pool->fail_disk(Slot(static_cast<std::uint16_t>(slot)), "gone")).ok());
  }
  REQUIRE(t.store({200}).ok());
  CHECK(t.catalog.stripes.back().m == 1);
  CHECK(t.pool->status().segments_thin == 1);
  std::vector<format::StripeDescriptor> given;
  t.pool->on_damaged_stripe([&](const auto& stripe) { given.push_back(stripe); });
  REQUIRE(t.node.run(t.pool->reconcile()).ok());
  CHECK(given.empty());  // it would be no better elsewhere

  for (const std::size_t slot : {0, 1}) {
    t.node.disks().add(t.paths[slot], t.shape.disk_bytes);
    REQUIRE(t.node.run(t.pool->add_disk(t.paths[slot])).ok());
  }
  const auto whole = [&] {
    REQUIRE(t.node.run(t.pool->reconcile()).ok());
    const auto status = t.pool->status();
    return status.members_missing == 0 && !status.rebuild.active && !given.empty();
  };
  for (int i = 0; i < 100 && !whole(); ++i) t.world.run_for(std::chrono::seconds(1));
  REQUIRE(given.size() == 1);
  CHECK(given[0] == t.catalog.stripes.back());
  CHECK(t.pool->closed_segments().size() >= 1);  // open no more: it can be emptied
  CHECK(t.pool->status().segments_thin == 1);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a disk that does not answer in time costs a stripe what a failed disk costs it") {
  for (const auto op : {sim::kWrite, sim::kFlush}) {
    Cluster t(Shape{4, 2, 0});
    t.ready();
    t.medium(2).plan().arm({sim::DiskFault::kHung, 1, op, false});
    CHECK(t.write({noise(100, 1)}).code() == Code::kIo);
    t.world.run_for(std::chrono::minutes(1));  // the stripe did not wait for its deadline
    CHECK(t.disk(2).state == DiskState::kFailed);
    REQUIRE(t.store({50'000, 50'000}).ok());
    CHECK(t.unreadable() == 0);
  }
}

TEST_CASE("a flush error fails the disk for good and the stripe with it") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.medium(1).plan().arm({sim::DiskFault::kIoError, 1, sim::kFlush, false});
  CHECK(t.write({noise(100, 1)}).code() == Code::kIo);
  CHECK(t.disk(1).state == DiskState::kFailed);
  CHECK(t.lost == std::vector{Slot(1)});
}

TEST_CASE("with as many members as parity strips, stripes are still written to all of them") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  t.vanish(0);
  t.vanish(1);
  CHECK(t.write({noise(100, 1)}).code() == Code::kIo);
  REQUIRE(t.store({10'000}).ok());
  CHECK(t.catalog.stripes.back().k == 1);
  CHECK(t.catalog.stripes.back().m == 1);
  t.vanish(2);
  CHECK(t.unreadable() == 0);
}

TEST_CASE("stripes that are not in the catalog yet can be read when disks are missing") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  const auto item = noise(9'000, 5);
  const auto written = t.write({item});
  REQUIRE(written.ok());
  t.vanish(written->stripe.slots[0].value);
  t.stored.push_back({item, written->places[0]});
  CHECK(t.unreadable() == 0);
  t.pool->forget_stripe(written->stripe);
  CHECK(t.read(t.stored[0]).code() == Code::kDataLoss);
}

TEST_CASE("items that exceed a segment, and empty ones, are refused") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  const auto chunk = t.pool->geometry().chunk_bytes;
  CHECK(t.write({noise(2 * chunk + 1, 1)}).code() == Code::kInvalid);
  CHECK(t.write({}).code() == Code::kInvalid);
  CHECK(t.write({Buffer()}).code() == Code::kInvalid);
  // Two blocks of each chunk are the summary's and its footer's.
  CHECK(t.write({noise(2 * (chunk - 2 * kBlockBytes), 1)}).ok());
}

TEST_CASE("the roles of the members rotate from stripe to stripe") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  std::set<Slot> parity;
  for (int i = 0; i < 40; ++i) {
    REQUIRE(t.store({100}).ok());
    parity.insert(t.catalog.stripes.back().slots.back());
  }
  CHECK(parity.size() == 6);
}
