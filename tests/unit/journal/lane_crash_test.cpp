// Power cuts, kills and failing disks at every point, compared with the plain list of records.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <set>

#include "base/planted.hpp"
#include "unit/journal/lane_rig.hpp"

using namespace square;
using namespace square::journal;
using sim::CrashKind;
using sim::DiskFault;

namespace {

// Appends, tails and checkpoints over more than a lap; ends early at a crash.
void workload(Rig& rig) {
  auto& rng = rig.world.rng();
  for (int i = 0; i < 12 && rig.node.running(); ++i) {
    for (auto burst = rng.between(1, 4); burst > 0; --burst) rig.append(rng.between(8, 9000));
    if (i % 3 != 2) rig.world.run_for(std::chrono::microseconds(rng.below(1500)));
    if (i % 3 == 2 && !rig.settle_forgetting()) return;
    if (i == 5 && rig.node.running()) rig.checkpoint();
  }
  rig.settle_forgetting();
}

void recover_at_last(Rig& rig) {
  rig.node.disks().plan().disarm();
  if (!rig.recover()) FAIL("seed " << rig.options.seed << ": " << rig.problem);
}

// A random schedule in the manner of the rules' executable model: work, crashes, failing, returning
// and rotting disks, crashes within recovery; at most copies - 1 disks are bad at once.
class Schedule {
 public:
  // `strict`: two requests over the same blocks in flight abort.
  explicit Schedule(std::uint64_t seed, bool strict = true) : rig_(options_of(seed)) {
    rig_.node.disks().set_strict_overlap(strict);
  }

  // The first broken promise, or nothing.
  std::string run() {
    start();
    const auto steps = 15 + rng().below(40);
    for (std::uint64_t i = 0; i < steps && rig_.problem.empty(); ++i) {
      if (!rig_.node.running()) start();
      if (rig_.problem.empty()) step();
    }
    if (rig_.problem.empty()) crash();
    if (rig_.problem.empty()) start();
    return rig_.problem;
  }

 private:
  static RigOptions options_of(std::uint64_t seed) {
    sim::Rng rng(seed * 77 + 1);
    RigOptions options;
    options.seed = seed;
    options.copies = static_cast<std::uint8_t>(rng.between(2, 4));
    options.disks = rng.between(std::max<std::uint64_t>(3, options.copies), 7);
    options.ring_bytes = rng.between(4, 8) * (16u << 10);
    options.batches_in_flight_max = static_cast<std::uint32_t>(rng.between(1, 5));
    return options;
  }
  sim::Rng& rng() { return rig_.world.rng(); }
  bool may_be_bad(std::size_t slot) {
    auto bad = bad_;
    bad.insert(slot);
    return bad.size() < rig_.options.copies && bad.size() < rig_.options.disks;
  }

  void step() {
    switch (rng().below(14)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        for (auto burst = rng().between(1, 6); burst > 0; --burst)
          rig_.append(rng().below(8) == 0 ? rng().below(rig_.lane->record_bytes_max())
                                          : rng().between(8, 5000));
        break;
      }
      case 4:
      case 5: pass(rng().below(3000)); break;
      case 6: pass(50'000); break;
      case 7:
      case 8:
        if (rig_.durable > 0)
          rig_.forget_up_to(rig_.durable - 1 -
                            rng().below(std::min<std::uint64_t>(rig_.durable, 4)));
        break;
      case 9: rig_.checkpoint(); break;
      case 10:
        rig_.node.disks().plan().arm(
            {rng().below(3) == 0 ? DiskFault::kKill : DiskFault::kCrash, rng().between(1, 40)});
        break;
      case 11: fail_disk(); break;
      case 12: heal(); break;
      case 13:
        if (rng().below(3) == 0) crash();
        break;
    }
  }

  void pass(std::uint64_t us) { rig_.world.run_for(std::chrono::microseconds(us)); }

  void fail_disk() {
    const auto slot = rng().below(rig_.options.disks);
    if (!may_be_bad(slot)) return;
    bad_.insert(slot);
    auto& medium = *rig_.media[slot];
    switch (rng().below(4)) {
      case 0: medium.set_vanished(true); break;
      case 1: medium.plan().arm({DiskFault::kIoError, rng().between(1, 6)}); break;
      case 2:
        medium.set_vanished(true);
        rig_.lane->slot_lost(Slot(static_cast<std::uint16_t>(slot)));
        break;
      case 3: medium.rot(rng().next(), rng().between(1, 2000)); break;
    }
  }

  // All disks are back, some empty, and everything has its copies again.
  void heal() {
    if (rng().below(2) == 0) {
      pass(50'000);
      if (!rig_.node.running()) return;
      if (!rig_.stop()) return;
    } else {
      crash();
    }
    for (const auto slot : bad_) {
      auto& medium = *rig_.media[slot];
      medium.plan().disarm();
      medium.set_vanished(false);
      if (rng().below(2) == 0) medium.spoil(0, medium.size_bytes(), rng().next());
    }
    start();
    if (rig_.problem.empty()) bad_.clear();
  }

  void crash() { rig_.crash(rng().below(3) == 0 ? CrashKind::kKill : CrashKind::kPowerLoss); }

  void start() {
    for (int depth = 0; rig_.problem.empty(); ++depth) {
      rig_.node.disks().plan().disarm();
      if (depth < 3 && rng().below(3) == 0)
        rig_.node.disks().plan().arm({DiskFault::kCrash, rng().between(1, 80)});
      if (rig_.recover()) return;
      rig_.drop();
    }
  }

  Rig rig_;
  std::set<std::size_t> bad_;
};

}  // namespace

TEST_CASE("a crash at any disk operation loses nothing that was acknowledged") {
  const auto fault = GENERATE(DiskFault::kCrash, DiskFault::kKill);
  const auto copies = GENERATE(2, 3, 4);
  std::uint64_t at = 0;
  for (bool crashed = true; crashed;) {
    ++at;
    Rig rig({.seed = at,
             .disks = 5,
             .copies = static_cast<std::uint8_t>(copies),
             .ring_bytes = 64u << 10});
    recover_at_last(rig);
    rig.node.disks().plan().arm({fault, at});
    workload(rig);
    crashed = !rig.node.running();
    if (!crashed) rig.crash(CrashKind::kPowerLoss);
    recover_at_last(rig);
    rig.node.disks().plan().arm({fault, rig.world.rng().between(1, 30)});
    workload(rig);
    rig.crash(CrashKind::kPowerLoss);
    recover_at_last(rig);
    INFO("crash at operation " << at);
    REQUIRE(rig.problem == "");
    REQUIRE(at < 5000);
  }
  CHECK(at > 50);
}

TEST_CASE("crashes within recovery, and within the recovery from them, lose nothing") {
  std::uint64_t at = 0;
  for (bool crashed = true; crashed;) {
    ++at;
    Rig rig({.seed = 9, .disks = 5, .ring_bytes = 64u << 10});
    recover_at_last(rig);
    rig.node.disks().plan().arm({DiskFault::kCrash, 40});
    workload(rig);
    REQUIRE_FALSE(rig.node.running());
    rig.node.disks().plan().arm({DiskFault::kCrash, at});
    crashed = !rig.recover();
    for (std::uint64_t depth = 1; depth < 3 && crashed; ++depth) {
      REQUIRE(rig.problem == "");
      rig.node.disks().plan().arm({DiskFault::kCrash, (at * (depth + 6)) % 60 + 1});
      if (rig.recover()) rig.crash(CrashKind::kPowerLoss);
    }
    if (!crashed) rig.crash(CrashKind::kPowerLoss);
    recover_at_last(rig);
    REQUIRE(rig.problem == "");
    REQUIRE(at < 1000);
  }
  CHECK(at > 10);
}

TEST_CASE("disks that fail at any operation, as many as may, stop nothing and lose nothing") {
  const auto copies = GENERATE(2, 3, 4);
  const auto together = GENERATE(true, false);
  for (std::uint64_t at = 1; at < 60; ++at) {
    Rig rig({.seed = at,
             .disks = 5,
             .copies = static_cast<std::uint8_t>(copies),
             .ring_bytes = 64u << 10});
    recover_at_last(rig);
    for (int lost = 0; lost < copies - 1; ++lost)
      rig.media[(at + static_cast<std::size_t>(lost)) % 5]->plan().arm(
          {DiskFault::kVanished, 1 + at / 3 + (together ? 0 : static_cast<std::size_t>(lost) * 3)});
    workload(rig);
    INFO("failures at operation " << at);
    REQUIRE(rig.node.running());
    REQUIRE(rig.acked == rig.log.size());
    rig.crash(CrashKind::kPowerLoss);
    recover_at_last(rig);
    REQUIRE(rig.problem == "");
  }
}

TEST_CASE("random schedules of work, crashes and failing disks keep the promise") {
  // More, or a single one: SQUARE_LANE_SEEDS=first:count.
  std::uint64_t first = 1, count = 300;
  if (const char* seeds = std::getenv("SQUARE_LANE_SEEDS")) {
    char* rest = nullptr;
    first = std::strtoull(seeds, &rest, 10);
    if (*rest == ':') count = std::strtoull(rest + 1, nullptr, 10);
  }
  for (auto seed = first; seed < first + count; ++seed) {
    const auto problem = Schedule(seed).run();
    if (!problem.empty()) FAIL("seed " << seed << ": " << problem);
  }
  SUCCEED();
}

#ifdef SQUARE_PLANTED_BUGS
// Half a minute, so only when asked for by its tag.
TEST_CASE("random schedules find the planted bugs of the journal", "[.planted]") {
  struct Clear {
    ~Clear() { clear_planted_bugs(); }
  } clear;
  for (const auto* bug : {"ack_before_flush", "skip_third_copy", "no_recopy", "lane_order",
                          "reuse_before_tail_flushed"}) {
    REQUIRE(set_planted_bug(bug).ok());
    std::string problem;
    std::uint64_t seed = 1;
    for (; seed < 3000 && problem.empty(); ++seed) problem = Schedule(seed, false).run();
    clear_planted_bugs();
    INFO(bug);
    CHECK(problem != "");
  }
}

TEST_CASE("a hole that is cut off in silence would be found") {
  Rig rig({.ring_bytes = 128u << 10});
  REQUIRE(rig.recover());
  for (int i = 0; i < 3; ++i) {
    rig.append(100);
    REQUIRE(rig.settle());
  }
  rig.crash(CrashKind::kPowerLoss);
  for (auto* medium : rig.media) medium->spoil(rig.config.ring_offset + 4096, 4096, 1);
  REQUIRE(set_planted_bug("cut_hole").ok());
  rig.recover();
  clear_planted_bugs();
  CHECK(rig.problem == "a durable record is lost");
}
#endif
