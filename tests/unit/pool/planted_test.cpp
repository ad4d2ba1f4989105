// Each bug planted in the pool is noticed by what its rule promises.

#ifdef SQUARE_PLANTED_BUGS

#include "base/planted.hpp"
#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

namespace {

struct Planted {
  explicit Planted(const char* name) { REQUIRE(set_planted_bug(name).ok()); }
  ~Planted() { clear_planted_bugs(); }
};

// True when the promise held.
bool live_data_survives_reuse() {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  for (int i = 0; i < 30; ++i)
    if (!t.store({t.pool->stripe_bytes_max()}).ok()) return false;
  return t.unreadable() == 0;
}

bool release_waits_for_a_checkpoint() {
  Cluster t(Shape{2, 1, 0, 16u << 20});
  t.ready();
  while (t.store({t.pool->stripe_bytes_max()}).ok()) {
  }
  for (const auto id : t.pool->closed_segments()) t.pool->release_segment(id);
  t.world.run_for(std::chrono::seconds(1));
  return t.store({100}).failed_with(Code::kNoSpace);
}

bool a_rolled_back_disk_is_refused() {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  const auto image = t.medium(2).snapshot();
  for (std::uint64_t n = 1; n <= 3; ++n) REQUIRE(t.checkpoint(n, {n}).ok());
  t.crash();
  t.medium(2).roll_back(image);
  REQUIRE(t.reopen());
  return t.disk(2).state == DiskState::kFailed;
}

bool a_flush_error_is_never_forgotten() {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  t.medium(1).plan().arm({sim::DiskFault::kIoError, 1, sim::kFlush, false});
  return !t.write({noise(100, 1)}).ok() && t.disk(1).state == DiskState::kFailed;
}

bool rot_is_kept_out_of_recovery() {
  Cluster t(Shape{4, 2, 0});
  t.ready();
  REQUIRE(t.store({60'000}).ok());
  const auto& stripe = t.catalog.stripes[0];
  t.medium(stripe.slots[1].value)
      .spoil(chunk_offset(t.pool->geometry(), stripe.segment), kBlockBytes, 1);
  t.vanish(stripe.slots[0].value);
  return t.unreadable() == 0;
}

bool labels_survive_a_crash_at(std::uint64_t call, bool& crashed) {
  Cluster t(Shape{2, 2, 0}, call);
  t.ready();
  REQUIRE(t.checkpoint(1, {1}).ok());
  for (std::size_t i = 0; i < 4; ++i) t.medium(i).set_crash_odds({0, 0});  // all torn
  t.node.disks().plan().arm({sim::DiskFault::kCrash, call});
  t.node.run_or_crash(t.write_checkpoint(2, {2}, 20'000));
  crashed = !t.node.running();
  if (!crashed) return true;
  t.pool.reset();
  t.node.restart();
  t.node.disks().plan().disarm();
  if (!t.open().ok()) return false;
  return t.pool->status().members_live == 4 && t.node.run(t.pool->load_checkpoint()).ok();
}

bool labels_survive_every_crash() {
  bool crashed = true;
  for (std::uint64_t call = 1; crashed; ++call)
    if (!labels_survive_a_crash_at(call, crashed)) return false;
  return true;
}

void check_bug(const char* name, bool (*promise)()) {
  INFO(name);
  CHECK(promise());
  const Planted planted(name);
  CHECK_FALSE(promise());
}

}  // namespace

TEST_CASE("each bug planted in the pool breaks the promise of its rule") {
  check_bug("reuse_live_segment", live_data_survives_reuse);
  check_bug("reuse_before_checkpoint", release_waits_for_a_checkpoint);
  check_bug("stale_disk_accepted", a_rolled_back_disk_is_refused);
  check_bug("fsync_retried", a_flush_error_is_never_forgotten);
  check_bug("strip_checksum_ignored", rot_is_kept_out_of_recovery);
  check_bug("one_label_copy", labels_survive_every_crash);
}

#endif
