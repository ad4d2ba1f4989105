#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

TEST_CASE("a checkpoint comes back after a restart, header and files") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.checkpoint(1, {1, 2, 3}).ok());
  t.crash();
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(loaded->id == format::CheckpointId{1, 1});
  CHECK(loaded->header == ByteVector{std::byte{1}, std::byte{1}});
  CHECK(loaded->files.size() == 3);
  CHECK(t.checkpoint_reads(*loaded));
}

TEST_CASE("only files that the pool lacks are written, large ones in several stripes") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  const std::size_t large = 3u << 20;
  REQUIRE(t.checkpoint(1, {1, 2}, large).ok());
  CHECK(t.files_read > 2);
  t.files_read = 0;
  REQUIRE(t.checkpoint(2, {1, 2}, large).ok());
  CHECK(t.files_read == 0);
  REQUIRE(t.checkpoint(3, {2}, large).ok());
  REQUIRE(t.checkpoint(4, {1, 2}, large).ok());
  CHECK(t.files_read == 0);  // file 1 is in the checkpoint before
  REQUIRE(t.checkpoint(5, {2}, large).ok());
  REQUIRE(t.checkpoint(6, {2}, large).ok());
  REQUIRE(t.checkpoint(7, {1, 2}, large).ok());
  CHECK(t.files_read > 0);
  t.crash();
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(t.checkpoint_reads(*loaded));
}

TEST_CASE("a checkpoint is found and read with any m disks gone") {
  for (std::size_t a = 0; a < 6; ++a) {
    for (std::size_t b = a + 1; b < 6; ++b) {
      Cluster t(Shape{4, 2, 0});
      t.ready();
      REQUIRE(t.checkpoint(1, {1, 2}).ok());
      REQUIRE(t.checkpoint(2, {2, 3}).ok());
      t.crash();
      t.vanish(a);
      t.vanish(b);
      const auto loaded = t.reopen();
      REQUIRE(loaded);
      CHECK(loaded->id.number == 2);
      CHECK(t.checkpoint_reads(*loaded));
    }
  }
}

TEST_CASE("when the newest checkpoint is rotten beyond repair, the older one is loaded") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.checkpoint(1, {1}).ok());
  // The stripes of the second checkpoint go to the same segment, behind those of the first.
  std::vector<ByteVector> before;
  const auto chunk = t.pool->geometry().chunk_bytes;
  const auto offset = chunk_offset(t.pool->geometry(), SegmentId(0));
  for (std::size_t i = 0; i < 6; ++i) before.push_back(t.medium(i).peek(offset, chunk));
  REQUIRE(t.checkpoint(2, {2}).ok());
  t.crash();
  for (std::size_t i = 0; i < 6; ++i) t.medium(i).poke(offset, before[i]);
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(loaded->id.number == 1);
  CHECK(t.checkpoint_reads(*loaded));
  // Who starts from it is told, now and at the next start, until there is a newer one.
  CHECK_FALSE(loaded->passed_over.empty());
  CHECK_FALSE(t.reopen()->passed_over.empty());
  REQUIRE(t.checkpoint(3, {3}).ok());
  const auto newer = t.reopen();
  CHECK(newer->id.number == 3);
  CHECK(newer->passed_over.empty());
}

TEST_CASE("the older checkpoint can be asked for, and none beyond it") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  for (std::uint64_t n = 1; n <= 3; ++n) REQUIRE(t.checkpoint(n, {n, n + 1}).ok());
  t.crash();
  REQUIRE(t.open().ok());
  REQUIRE(t.node.run(t.pool->load_checkpoint())->value().id.number == 3);
  const auto older = t.node.run(t.pool->load_older_checkpoint());
  REQUIRE(older.ok());
  CHECK(older->value().id.number == 2);
  CHECK(t.checkpoint_reads(older->value()));
  CHECK(t.node.run(t.pool->load_older_checkpoint()).code() == Code::kDataLoss);
}

TEST_CASE("a label that names checkpoints none of which can be read is data loss, not a new pool") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.checkpoint(1, {1}).ok());
  const auto offset = chunk_offset(t.pool->geometry(), SegmentId(0));
  t.crash();
  for (std::size_t i = 0; i < 4; ++i) t.medium(i).spoil(offset, 1u << 20, i);
  REQUIRE(t.open().ok());
  CHECK(t.node.run(t.pool->load_checkpoint()).code() == Code::kDataLoss);
}

TEST_CASE("a member that dies while a checkpoint is written does not stop it") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.medium(3).plan().arm({sim::DiskFault::kIoError, 2, sim::kWrite, true});
  REQUIRE(t.checkpoint(1, {1, 2, 3}).ok());
  CHECK(t.lost == std::vector{Slot(3)});
  t.crash();
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(t.checkpoint_reads(*loaded));
  CHECK(t.disk(3).state == DiskState::kFailed);
}

TEST_CASE("a checkpoint must be newer than the one before, and its header bounded") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  REQUIRE(t.checkpoint(2, {1}).ok());
  CHECK(t.checkpoint(2, {1}).code() == Code::kInvalid);
  Checkpoint large;
  large.id = {9, 9};
  large.header.resize((64u << 10) + 1);
  CHECK(t.node.run(t.pool->write_checkpoint(large, {})).code() == Code::kInvalid);
}

TEST_CASE("segments of checkpoint files come back when neither kept checkpoint names them") {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  std::uint32_t least = UINT32_MAX;
  for (std::uint64_t n = 1; n <= 60; ++n) {
    REQUIRE(t.checkpoint(n, {n}, 1u << 20).ok());
    least = std::min(least, t.pool->status().segments_free);
  }
  CHECK(least + 8 > t.pool->geometry().chunks);
  t.crash();
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  CHECK(t.checkpoint_reads(*loaded));
}

TEST_CASE("restarts do not litter the pool with nearly empty checkpoint segments") {
  Cluster t(Shape{2, 2, 0});
  t.ready();
  std::vector<std::uint64_t> files;
  for (std::uint64_t n = 1; n <= 30; ++n) {
    files.push_back(n);
    REQUIRE(t.checkpoint(n, files).ok());
    t.crash();
    const auto loaded = t.reopen();
    REQUIRE(loaded);
    REQUIRE(t.checkpoint_reads(*loaded));
  }
  CHECK(t.pool->status().segments_free + 10 > t.pool->geometry().chunks);
}

// ---- crashes

namespace {

// Two checkpoints, then a third that is cut short at the Nth I/O. Whatever is found is complete.
bool crash_in_checkpoint(std::uint64_t call, std::uint64_t seed) {
  Cluster t(Shape{2, 2, 1}, seed);
  t.ready();
  REQUIRE(t.checkpoint(1, {1, 2}).ok());
  REQUIRE(t.checkpoint(2, {2, 3}).ok());
  t.node.disks().plan().arm({sim::DiskFault::kCrash, call});
  const auto written = t.node.run_or_crash(t.write_checkpoint(3, {3, 4, 5}, 20'000));
  const bool crashed = !t.node.running();
  t.node.disks().plan().disarm();
  if (crashed) {
    t.pool.reset();
    t.node.restart();
  } else {
    REQUIRE(written->ok());
  }
  const auto loaded = t.reopen();
  REQUIRE(loaded);
  REQUIRE(loaded->id.number >= 2);
  if (!crashed) REQUIRE(loaded->id.number == 3);
  REQUIRE(loaded->files.size() == (loaded->id.number == 3 ? 3u : 2u));
  REQUIRE(t.checkpoint_reads(*loaded));
  // What was found once is found again, however often.
  const auto number = loaded->id.number;
  t.crash();
  REQUIRE(t.reopen()->id.number == number);
  REQUIRE(t.checkpoint(4, {5, 6}).ok());
  t.crash();
  const auto last = t.reopen();
  REQUIRE(last->id.number == 4);
  REQUIRE(t.checkpoint_reads(*last));
  for (std::size_t i = 0; i < 4; ++i) REQUIRE(t.disk(i).state == DiskState::kMember);
  return crashed;
}

}  // namespace

TEST_CASE("a crash at any I/O of a checkpoint leaves the newest complete one to be found") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::uint64_t call = 1;
    while (crash_in_checkpoint(call, seed)) ++call;
    CHECK(call > 40);
  }
}

TEST_CASE("a checkpoint that finds no room gives back what it took") {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  REQUIRE(t.checkpoint(1, {1}).ok());
  while (t.store({t.pool->stripe_bytes_max()}).ok()) {
  }
  const auto free = t.pool->status().segments_free;
  REQUIRE(free > 0);
  for (std::uint64_t n = 2; n < 5; ++n)
    CHECK(t.checkpoint(n, {n}, 64u << 20).code() == Code::kNoSpace);
  t.world.run_for(std::chrono::seconds(1));
  CHECK(t.pool->status().segments_free + 1 >= free);  // one stays open
  CHECK(t.checkpoint(5, {5}).ok());
}
