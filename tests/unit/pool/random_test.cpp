// Random operations, faults and crashes on one pool, seed after seed. The index is a map that
// survives everything (checkpoint + journal are somebody else's); what is checked is the pool's
// part of the promise: with at most m members away at a time, everything stored reads back,
// checkpoints are found whole, and redundancy converges.

#include <cstdio>
#include <cstdlib>

#include "pool_fixture.hpp"

using namespace square;
using namespace square::pool;
using pool::test::Cluster;
using pool::test::noise;
using pool::test::Shape;

namespace {

class RandomPool {
 public:
  RandomPool(Shape shape, std::uint64_t seed) : t_(shape, seed), rng_(seed * 77 + 1) { t_.ready(); }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      t_.node.disks().plan().disarm();
      if (!t_.node.running()) recover();
      INFO("steps" << trace_);
      REQUIRE(t_.unreadable() == 0);
    }
    INFO("steps" << trace_);
    converge();
  }

 private:
  void step() {
    const bool crash = rng_.chance_ppm(120'000);
    if (crash) t_.node.disks().plan().arm({sim::DiskFault::kCrash, rng_.between(1, 60)});
    const auto what = rng_.below(9);
    trace_ += " " + std::to_string(what) + (crash ? "!" : "");
    switch (what) {
      case 0:
      case 1:
      case 2: return store();
      case 3: return clean();
      case 4: return checkpoint();
      case 5: return lose();
      case 6: return rot();
      case 7: return reconcile();
      case 8: return crash_now();
    }
  }

  void store() {
    std::vector<StripeItem> items;
    std::vector<Buffer> bytes;
    for (auto n = rng_.between(1, 6); n > 0; --n) {
      bytes.push_back(noise(rng_.between(1, 60'000), rng_.next()));
      items.push_back({{bytes.back()}, {}});
    }
    const auto written =
        t_.node.run_or_crash(t_.pool->write_stripe(StripeClass::kFresh, std::move(items)));
    if (written && written->ok()) remember(**written, bytes);
  }

  void remember(const WrittenStripe& written, const std::vector<Buffer>& bytes) {
    t_.catalog.stripes.push_back(written.stripe);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      t_.stored.push_back({bytes[i], written.places[i]});
    if (t_.node.running()) t_.pool->stripe_is_indexed(written.stripe);
  }

  // Copies what lives in a closed segment elsewhere, or drops it, and releases the segment.
  void clean() {
    const auto closed = t_.pool->closed_segments();
    if (closed.empty()) return;
    const auto segment = closed[rng_.below(closed.size())];
    clean(segment, rng_.chance_ppm(500'000));
  }

  void clean(SegmentId segment, bool drop) {
    for (auto& item : t_.stored) {
      if (item.place.segment != segment || drop) continue;
      std::vector<StripeItem> items(1);
      items[0].bytes.push_back(item.bytes);
      const auto written =
          t_.node.run_or_crash(t_.pool->write_stripe(StripeClass::kCleaned, std::move(items)));
      if (!written || !written->ok()) return;
      t_.catalog.stripes.push_back((*written)->stripe);
      item.place = (*written)->places[0];
      t_.pool->stripe_is_indexed((*written)->stripe);
    }
    std::erase_if(t_.stored, [&](const auto& item) { return item.place.segment == segment; });
    t_.catalog.forget(segment);
    t_.pool->release_segment(segment);
  }

  void checkpoint() {
    std::vector<std::uint64_t> files;
    for (std::uint64_t f = checkpoints_ / 2; f <= checkpoints_ + 1; ++f) files.push_back(f);
    ++checkpoints_;
    const auto written = t_.node.run_or_crash(t_.write_checkpoint(checkpoints_, files, 9'000));
    if (written && written->ok()) last_checkpoint_ = checkpoints_;
  }

  std::size_t away() const {
    std::size_t count = t_.pool->status().members_missing;
    for (const auto& disk : t_.pool->disks())
      if (disk.state == DiskState::kRebuilding) ++count;
    return count;
  }

  // Stripes that were written while m or fewer members lived.
  std::optional<SegmentId> thin_segment() const {
    for (const auto& stripe : t_.catalog.stripes)
      if (stripe.m < t_.shape.m) return stripe.segment;
    return std::nullopt;
  }

  void lose() {
    if (away() >= t_.shape.m) return;
    if (const auto thin = thin_segment()) {
      clean(*thin, false);
      if (t_.node.running()) checkpoint();
      return;
    }
    const auto disks = t_.pool->disks();
    const auto& disk = disks[rng_.below(std::size_t{t_.shape.k} + t_.shape.m)];
    if (disk.state != DiskState::kMember) return;
    // Once the pool knows: until then it would count as a member.
    t_.node.disks().at(disk.path).set_vanished(true);
    trace_ += disk.path;
    gone_.push_back(disk.path);
    t_.node.run_or_crash(t_.pool->reconcile());
  }

  void rot() {
    if (away() > 0 || t_.catalog.stripes.empty() || t_.shape.m == 0) return;
    const auto stripe = t_.catalog.stripes[rng_.below(t_.catalog.stripes.size())];
    const auto slot = stripe.slots[rng_.below(stripe.slots.size())];
    const auto disk = t_.pool->disks()[slot.value];
    if (disk.state != DiskState::kMember || stripe.m == 0) return;
    const auto offset = chunk_offset(t_.pool->geometry(), stripe.segment) +
                        std::uint64_t{stripe.stripe_block} * kBlockBytes;
    t_.node.disks().at(disk.path).spoil(offset, kBlockBytes, rng_.next());
    // Until a scrub has mended it, no disk may go.
    t_.node.disks().plan().disarm();
    ignore(t_.pool->start_scrub(), "one is running");
    for (int i = 0; i < 50; ++i) {
      t_.world.run_for(std::chrono::seconds(1));
      if (!t_.pool->status().scrub.active) break;
    }
    const auto status = t_.pool->status();
    REQUIRE(status.corruptions_found == status.corruptions_repaired);
  }

  void reconcile() {
    if (t_.pool->status().spares_free == 0) {
      const auto path = "/dev/more" + std::to_string(++added_);
      t_.node.disks().add(path, t_.shape.disk_bytes);
      t_.node.disks().at(path).set_timing(sim::DiskTiming::instant());
      const auto added = t_.node.run_or_crash(t_.pool->add_disk(path));
      t_.paths.push_back(path);
      if (!added) return;
    }
    const auto done = t_.node.run_or_crash(t_.pool->reconcile());
    if (done) t_.world.run_for(std::chrono::milliseconds(rng_.below(20)));
  }

  void crash_now() {
    t_.node.disks().plan().disarm();
    t_.node.crash(rng_.chance_ppm(300'000) ? sim::CrashKind::kKill : sim::CrashKind::kPowerLoss);
  }

  void recover() {
    t_.pool.reset();
    t_.node.disks().plan().disarm();
    t_.node.restart();
    if (rng_.chance_ppm(400'000)) {
      for (const auto& path : gone_) t_.node.disks().at(path).set_vanished(false);
      gone_.clear();
      trace_ += " back";
    }
    trace_ += " recover";
    const auto loaded = t_.reopen();
    REQUIRE(loaded.has_value() == (last_checkpoint_ > 0 || loaded.has_value()));
    if (!loaded) return;
    REQUIRE(loaded->id.number >= last_checkpoint_);
    REQUIRE(t_.checkpoint_reads(*loaded));
    last_checkpoint_ = loaded->id.number;
  }

  void converge() {
    t_.node.disks().plan().disarm();
    for (int i = 0; i < 40 && away() > 0; ++i) {
      reconcile();
      t_.world.run_for(std::chrono::seconds(3));
    }
    REQUIRE(away() == 0);
    reconcile();
    t_.world.run_for(std::chrono::seconds(3));
    REQUIRE(t_.unreadable() == 0);
    for (const auto id : t_.pool->closed_segments()) {
      INFO("segment " << id.value);
      const auto summary = t_.node.run(t_.pool->read_summary(id));
      INFO((summary.ok() ? std::string() : summary.error().message));
      REQUIRE(summary.ok());
      const auto known = *t_.catalog.in_segment(id);
      for (const auto& stripe : known)
        REQUIRE(std::ranges::find(summary->stripes, stripe) != summary->stripes.end());
    }
    REQUIRE(t_.pool->start_scrub().ok());
    t_.world.run_for(std::chrono::seconds(30));
    const auto status = t_.pool->status();
    REQUIRE(status.scrub.stripes_lost == 0);
    REQUIRE(status.corruptions_found == status.corruptions_repaired);
  }

  Cluster t_;
  sim::Rng rng_;
  std::uint64_t checkpoints_ = 0, last_checkpoint_ = 0;
  int added_ = 0;
  std::string trace_;
  std::vector<std::string> gone_;
};

void run_seeds(std::uint64_t first, std::uint64_t last) {
  const Shape shapes[] = {
      {4, 2, 2, 16u << 20}, {2, 2, 1, 16u << 20}, {4, 1, 1, 16u << 20}, {8, 2, 2, 16u << 20}};
  for (auto seed = first; seed <= last; ++seed) {
    INFO("seed " << seed);
    RandomPool(shapes[seed % 4], seed).run(60);
  }
}

}  // namespace

TEST_CASE("nothing stored is lost while at most m members are away, whatever happens") {
  run_seeds(1, 80);
}

// SQUARE_SEEDS=FIRST-LAST chooses them.
TEST_CASE("the same over many more seeds", "[.long]") {
  unsigned long first = 81, last = 1500;
  if (const char* seeds = std::getenv("SQUARE_SEEDS"))
    REQUIRE(std::sscanf(seeds, "%lu-%lu", &first, &last) == 2);
  run_seeds(first, last);
}
