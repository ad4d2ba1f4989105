#include "access/health.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::access;

namespace {

pool::DiskStatus disk(std::uint16_t slot, pool::DiskState state) {
  pool::DiskStatus out;
  out.slot = Slot(slot);
  out.path = "/dev/d" + std::to_string(slot);
  out.state = state;
  return out;
}

pool::PoolStatus pool_with(std::uint16_t live) {
  pool::PoolStatus pool;
  pool.geometry.k = 8;
  pool.geometry.m = 2;
  pool.members_live = live;
  pool.members_missing = static_cast<std::uint16_t>(10 - live);
  pool.capacity_bytes = 1000;
  pool.free_bytes = 500;
  return pool;
}

std::vector<std::string> codes(const std::vector<HealthCheck>& checks) {
  std::vector<std::string> out;
  for (const auto& check : checks) out.push_back(check.code);
  return out;
}

}  // namespace

TEST_CASE("a whole pool is ok, one member less is degraded, the last parity gone is at risk") {
  CHECK(overall(judge("n1", pool_with(10), {})) == "ok");
  CHECK(overall(judge("n1", pool_with(9), {})) == "degraded");
  CHECK(overall(judge("n1", pool_with(8), {})) == "at_risk");
  CHECK(codes(judge("n1", pool_with(9), {})) == std::vector<std::string>{"SQ-POOL-DEGRADED"});
  CHECK(codes(judge("n1", pool_with(8), {})) == std::vector<std::string>{"SQ-POOL-AT-RISK"});
}

TEST_CASE("a pool whose members are all back is degraded while data has less parity than it") {
  auto pool = pool_with(10);
  pool.segments_thin = 3;
  const auto checks = judge("n1", pool, {});
  CHECK(codes(checks) == std::vector<std::string>{"SQ-POOL-DEGRADED"});
  CHECK(overall(checks) == "degraded");
}

TEST_CASE("a slow member degrades the pool, one that is set aside for a moment does not") {
  auto slow = disk(3, pool::DiskState::kMember);
  slow.aside = true;
  CHECK(judge("n1", pool_with(10), {slow}).empty());
  slow.slow = true;
  const auto checks = judge("n1", pool_with(10), {slow});
  CHECK(codes(checks) == std::vector<std::string>{"SQ-DISK-SLOW"});
  CHECK(checks.at(0).action == "square disk retire n1 3");
}

TEST_CASE("each disk that is not well is named, with a command that can be pasted") {
  const auto checks = judge("n1", pool_with(10),
                            {disk(0, pool::DiskState::kMember), disk(1, pool::DiskState::kFailed),
                             disk(2, pool::DiskState::kMissing), disk(3, pool::DiskState::kForeign),
                             disk(4, pool::DiskState::kSpare)});
  CHECK(codes(checks) ==
        std::vector<std::string>{"SQ-DISK-FAILED", "SQ-DISK-MISSING", "SQ-DISK-FOREIGN"});
  CHECK_THAT(checks[0].summary, Catch::Contains("/dev/d1"));
  CHECK(checks[0].action == "square disk ok-to-pull n1 1");
}

TEST_CASE("a pool that fills up warns, then says that writes are refused") {
  auto pool = pool_with(10);
  pool.free_bytes = 100;
  CHECK(codes(judge("n1", pool, {})) == std::vector<std::string>{"SQ-POOL-NEARLY-FULL"});
  pool.free_bytes = 10;
  CHECK(codes(judge("n1", pool, {})) == std::vector<std::string>{"SQ-POOL-FULL"});
}

TEST_CASE("a check keeps its time while it holds, and begins anew after it went away") {
  HealthHistory history;
  auto checks = judge("n1", pool_with(9), {});
  history.stamp(checks, 100);
  CHECK(checks[0].since_ns == 100);
  checks = judge("n1", pool_with(9), {});
  history.stamp(checks, 200);
  CHECK(checks[0].since_ns == 100);
  std::vector<HealthCheck> none;
  history.stamp(none, 300);
  checks = judge("n1", pool_with(9), {});
  history.stamp(checks, 400);
  CHECK(checks[0].since_ns == 400);
}

TEST_CASE("only a disk that nothing depends on may be pulled") {
  const std::vector<pool::DiskStatus> disks{
      disk(0, pool::DiskState::kMember), disk(1, pool::DiskState::kRebuilding),
      disk(2, pool::DiskState::kSpare), disk(3, pool::DiskState::kFailed)};
  CHECK(ok_to_pull(disks, Slot(0)).code() == Code::kDenied);
  CHECK(ok_to_pull(disks, Slot(1)).code() == Code::kDenied);
  CHECK(ok_to_pull(disks, Slot(2)).ok());
  CHECK(ok_to_pull(disks, Slot(3)).ok());
  CHECK(ok_to_pull(disks, Slot(9)).code() == Code::kNotFound);
}
