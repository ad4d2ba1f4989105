#include "pool/usual_time.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "pool/hedge_core.hpp"
#include "sim/env/sim_rng.hpp"

using namespace square;
using namespace square::pool;
using namespace std::chrono_literals;

TEST_CASE("about nine of ten samples lie below the usual time") {
  UsualTime time;
  sim::Rng rng(1);
  std::size_t below = 0, count = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto took = env::Duration(1'000'000 + static_cast<std::int64_t>(rng.below(1'000'000)));
    if (i >= 1000) below += took < time.high() ? 1 : 0, ++count;
    time.note(took);
  }
  const auto share = static_cast<double>(below) / static_cast<double>(count);
  CHECK(share > 0.85);
  CHECK(share < 0.95);
}

TEST_CASE("the usual time follows a disk that becomes 100 times slower, and back") {
  UsualTime time;
  CHECK_FALSE(time.known());
  for (int i = 0; i < 100; ++i) time.note(1ms);
  CHECK(time.known());
  CHECK(time.high() < 2ms);
  for (int i = 0; i < 50; ++i) time.note(100ms);
  CHECK(time.high() > 90ms);
  for (int i = 0; i < 400; ++i) time.note(1ms);
  CHECK(time.high() < 2ms);
}

TEST_CASE("what takes no time at all has a usual time that can grow") {
  UsualTime time;
  for (int i = 0; i < 100; ++i) time.note(0ns);
  CHECK(time.high() > 0ns);
  for (int i = 0; i < 200; ++i) time.note(1ms);
  CHECK(time.high() > 900us);
}

TEST_CASE("kinds and sizes of requests have usual times of their own") {
  RequestTimes times;
  for (int i = 0; i < 20; ++i) {
    times.note(RequestKind::kRead, 4096, 1ms);
    times.note(RequestKind::kRead, 1 << 20, 10ms);
    times.note(RequestKind::kWrite, 4096, 3ms);
  }
  CHECK(times.of(RequestKind::kRead, 8192).high() < 2ms);
  CHECK(times.of(RequestKind::kRead, 2 << 20).high() > 9ms);
  CHECK(times.of(RequestKind::kWrite, 1).high() > 2ms);
  CHECK_FALSE(times.of(RequestKind::kFlush, 0).known());
  CHECK_FALSE(times.of(RequestKind::kRead, 64 << 10).known());
}

TEST_CASE("peers are two at least, and one slow one among them does not move their median") {
  std::vector<UsualTime> disks(9);
  std::vector<const UsualTime*> peers;
  for (auto& disk : disks) peers.push_back(&disk);
  CHECK_FALSE(median_usual(peers).has_value());
  for (int i = 0; i < 20; ++i) disks[3].note(500ms);
  CHECK_FALSE(median_usual(peers).has_value());
  for (auto& disk : disks)
    for (int i = 0; i < 20 && &disk != &disks[3]; ++i) disk.note(1ms);
  REQUIRE(median_usual(peers).has_value());
  CHECK(*median_usual(peers) < 2ms);
}

TEST_CASE("a read is late by what its peers usually take, but never within milliseconds") {
  CHECK(HedgeCore::late_after(std::nullopt) == HedgeCore::kAfterUnknown);
  CHECK(HedgeCore::late_after(10us) == HedgeCore::kAfterMin);
  CHECK(HedgeCore::late_after(20ms) == 20ms * HedgeCore::kPeersFactor);
}

TEST_CASE("however many reads are late, races read less than the reads themselves") {
  HedgeCore core;
  std::uint64_t saved = 0;
  while (core.begin_race(64 << 10)) saved += 64 << 10;
  CHECK(saved <= 16u << 20);
  constexpr std::uint64_t kRead = 8192;
  constexpr std::uint64_t kStrips = 8;
  std::uint64_t read = 0, raced = 0;
  for (int i = 0; i < 10'000; ++i) {
    core.read_begins(kRead);
    read += kRead;
    if (core.begin_race(kRead * kStrips)) raced += kRead * kStrips;
  }
  CHECK(raced < read);
  CHECK(raced > read / 2);  // and one slow disk of ten is still raced most of the time
}
