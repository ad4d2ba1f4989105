// Segment summaries: docs/formats/segment.md.

#include <set>

#include "pool/segments.hpp"
#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

namespace {

// Until that many segments are closed.
void fill_segments(Cluster& t, std::size_t closed) {
  const auto item = t.pool->stripe_bytes_max() / 3;
  while (t.pool->closed_segments().size() < closed) REQUIRE(t.store({item, 700, item}).ok());
  t.world.run_for(std::chrono::seconds(1));
}

std::vector<format::StripeDescriptor> in_catalog(Cluster& t, SegmentId id) {
  auto stripes = *t.catalog.in_segment(id);
  std::ranges::sort(stripes, {}, &format::StripeDescriptor::stripe_block);
  return stripes;
}

// The summary is there, and is what the catalog has.
bool summary_agrees(Cluster& t, SegmentId id) {
  const auto summary = t.node.run(t.pool->read_summary(id));
  if (!summary.ok()) UNSCOPED_INFO(summary.error().message);
  return summary.ok() && summary->segment == id && summary->pool == t.pool->id() &&
         summary->generation == t.pool->segment(id)->generation &&
         summary->stripes == in_catalog(t, id);
}

std::size_t agreeing(Cluster& t) {
  std::size_t count = 0;
  for (const auto id : t.pool->closed_segments()) count += summary_agrees(t, id) ? 1 : 0;
  return count;
}

void settle(Cluster& t) {
  for (int i = 0; i < 10; ++i) {
    REQUIRE(t.node.run(t.pool->reconcile()).ok());
    t.world.run_for(std::chrono::seconds(5));
  }
}

std::uint64_t chunk_end(Cluster& t, SegmentId id) {
  return chunk_offset(t.pool->geometry(), id.next());
}

void scrub(Cluster& t) {
  REQUIRE(t.pool->start_scrub().ok());
  t.world.run_for(std::chrono::seconds(60));
  REQUIRE_FALSE(t.pool->status().scrub.active);
}

}  // namespace

TEST_CASE("a closed segment tells its stripes from any k of its disks, without an index") {
  Cluster t(Shape{3, 2, 0});
  t.ready();
  fill_segments(t, 3);
  const auto closed = t.pool->closed_segments();
  REQUIRE(closed.size() == 3);
  CHECK(agreeing(t) == 3);
  for (const auto id : closed)
    CHECK(t.pool->segment(id)->summary == SegmentView::Summary::kWritten);
  CHECK(t.pool->status().written_summary_bytes > 0);
  for (std::size_t a = 0; a < 5; ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      Cluster u(Shape{3, 2, 0});
      u.ready();
      fill_segments(u, 1);
      const auto id = u.pool->closed_segments().front();
      u.vanish(a);
      u.vanish(b);
      CHECK(summary_agrees(u, id));
    }
  }
}

TEST_CASE("a segment that was open at a crash gets its summary afterwards") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  REQUIRE(t.store({5000, 700}).ok());
  const auto id = t.catalog.stripes.front().segment;
  CHECK(t.node.run(t.pool->read_summary(id)).code() == Code::kNotFound);
  t.crash();
  t.reopen();
  t.world.run_for(std::chrono::seconds(1));
  CHECK(summary_agrees(t, id));
}

TEST_CASE("a checkpoint remembers which summaries are complete: a restart writes none again") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  fill_segments(t, 4);
  REQUIRE(t.store({5000}).ok());
  REQUIRE(t.checkpoint(1, {1}).ok());
  const auto last = t.catalog.stripes.back().segment;  // open
  t.crash();
  t.reopen();
  t.world.run_for(std::chrono::seconds(1));
  CHECK(agreeing(t) == t.pool->closed_segments().size());
  const auto blocks =
      summary_blocks(format::encode_summary(*t.node.run(t.pool->read_summary(last))).size(), 2);
  CHECK(t.pool->status().written_summary_bytes == (blocks + 1) * 3 * kBlockBytes);
}

TEST_CASE("a crash at any write of a summary leaves none or a whole one, and it is completed") {
  bool cut = false;
  for (std::uint64_t crash_at = 1; crash_at < 40; ++crash_at) {
    Cluster t(Shape{2, 1, 0}, crash_at);
    t.ready();
    REQUIRE(t.store({5000, 700}).ok());
    REQUIRE(t.store({90'000}).ok());
    const auto id = t.catalog.stripes.front().segment;
    t.crash();
    // From here on the summary is the only thing that is written.
    auto opened = t.open();
    REQUIRE(opened.ok());
    REQUIRE(t.node.run(t.pool->load_checkpoint()).ok());
    REQUIRE(t.node.run(t.pool->begin_epoch(t.pool->last_epoch() + 1)).ok());
    t.node.disks().plan().arm({sim::DiskFault::kCrash, crash_at});
    t.serve();
    t.world.run_for(std::chrono::seconds(1));
    t.node.disks().plan().disarm();
    cut = cut || !t.node.running();
    if (t.node.running()) t.node.crash(sim::CrashKind::kPowerLoss);
    t.pool.reset();
    t.node.restart();
    t.reopen();
    t.world.run_for(std::chrono::seconds(1));
    INFO("crash at operation " << crash_at);
    REQUIRE(summary_agrees(t, id));
    scrub(t);
    CHECK(t.pool->status().corruptions_found == 0);
    CHECK(t.unreadable() == 0);
  }
  CHECK(cut);
}

TEST_CASE("a spare gets its part of the summaries too") {
  Cluster t(Shape{2, 1, 2});
  t.ready();
  fill_segments(t, 3);
  for (std::size_t gone = 0; gone < 2; ++gone) {
    t.vanish(gone);
    settle(t);
    REQUIRE(t.pool->status().members_missing == 0);
  }
  CHECK(t.pool->status().corruptions_found == 0);
  t.vanish(2);  // what is left was rebuilt
  CHECK(agreeing(t) == t.pool->closed_segments().size());
}

TEST_CASE("a scrub mends a rotten strip of a summary, and a rotten footer") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  fill_segments(t, 2);
  const auto id = t.pool->closed_segments().front();
  t.medium(0).spoil(chunk_end(t, id) - kBlockBytes, kBlockBytes, 7);
  t.medium(1).spoil(chunk_end(t, id) - 2 * kBlockBytes, kBlockBytes, 8);
  scrub(t);
  CHECK(t.pool->status().corruptions_found == 2);
  CHECK(t.pool->status().corruptions_repaired == 2);
  CHECK(t.pool->status().scrub.stripes_lost == 0);
  scrub(t);
  CHECK(t.pool->status().corruptions_found == 2);
  t.vanish(2);
  CHECK(summary_agrees(t, id));
}

TEST_CASE("a summary that is lost is no loss of data: it is written again") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  fill_segments(t, 2);
  const auto id = t.pool->closed_segments().front();
  SECTION("its strips") {
    t.medium(0).spoil(chunk_end(t, id) - 2 * kBlockBytes, kBlockBytes, 8);
    t.medium(1).spoil(chunk_end(t, id) - 2 * kBlockBytes, kBlockBytes, 9);
    CHECK(t.node.run(t.pool->read_summary(id)).code() == Code::kDataLoss);
  }
  SECTION("its footers") {
    for (std::size_t i = 0; i < 3; ++i)
      t.medium(i).spoil(chunk_end(t, id) - kBlockBytes, kBlockBytes, i);
    CHECK(t.node.run(t.pool->read_summary(id)).code() == Code::kNotFound);
  }
  scrub(t);
  CHECK(t.pool->status().scrub.stripes_lost == 0);
  settle(t);
  CHECK(summary_agrees(t, id));
  CHECK(t.unreadable() == 0);
}

TEST_CASE("there is room for the summary, however small the extents") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  const std::vector<std::size_t> small(400, 30);
  while (t.pool->closed_segments().size() < 2) REQUIRE(t.store(small).ok());
  t.world.run_for(std::chrono::seconds(1));
  CHECK(agreeing(t) == 2);
  for (const auto id : t.pool->closed_segments()) {
    const auto summary = t.node.run(t.pool->read_summary(id));
    REQUIRE(summary.ok());
    const auto bytes = format::encode_summary(*summary).size();
    CHECK(bytes > 60'000);
    const auto& last = summary->stripes.back();
    CHECK(last.stripe_block + last.strip_blocks + summary_blocks(bytes, 2) + 1 <=
          t.pool->geometry().chunk_bytes / kBlockBytes);
  }
  CHECK(t.unreadable() == 0);
}

TEST_CASE("a stripe that no record will ever name is in no summary") {
  Cluster t(Shape{2, 1, 0});
  t.ready();
  REQUIRE(t.store({5000}).ok());
  const auto id = t.catalog.stripes.front().segment;
  const auto forgotten = t.write({noise(3000, 1)});
  REQUIRE(forgotten.ok());
  REQUIRE(forgotten->stripe.segment == id);
  while (!t.pool->segment(id)->closed) REQUIRE(t.store({60'000}).ok());
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.node.run(t.pool->read_summary(id)).code() == Code::kNotFound);
  t.pool->forget_stripe(forgotten->stripe);
  t.world.run_for(std::chrono::seconds(1));
  CHECK(summary_agrees(t, id));
}
