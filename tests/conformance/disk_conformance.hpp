#pragma once
// What every Disk must do, without faults: the real and the simulated one pass the same cases.
//
// A Fixture has:  env::Loop& loop();
//                 void run(Task<void> task);                // runs the loop until the task has
//                 ended std::unique_ptr<env::Disk> open_disk();   // empty, kDiskBytes large; run()
//                 may be
//                                                           // used inside

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "env/disk.hpp"
#include "env/sync.hpp"

namespace square::conformance {

inline constexpr std::uint64_t kDiskBytes = 4u << 20;

// Bytes that tell their place: no two blocks of one seed are equal.
inline Buffer pattern(std::size_t size, std::uint64_t seed) {
  auto buffer = Buffer::allocate(size);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    std::memcpy(buffer.data() + i, &state, 8);
  }
  return buffer;
}

inline bool same_bytes(const Buffer& a, const Buffer& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

namespace detail {

inline Task<void> write_one(env::Disk& disk, std::uint64_t offset, Buffer buffer, int& failures) {
  BufferChain chain{std::move(buffer)};
  const auto written = co_await disk.write(offset, std::move(chain));
  if (!written.ok()) ++failures;
}

inline Task<void> read_one(env::Disk& disk, std::uint64_t offset, Buffer expected, int& failures) {
  auto into = Buffer::zeroed(expected.size());
  const auto got = co_await disk.read(offset, into);
  if (!got.ok() || !same_bytes(into, expected)) ++failures;
}

inline Task<void> flush_one(env::Disk& disk, int& failures) {
  const auto flushed = co_await disk.flush();
  if (!flushed.ok()) ++failures;
}

}  // namespace detail

template <class Fixture>
void check_round_trips_at_depth(Fixture& fixture, std::size_t depth, std::size_t size) {
  auto disk = fixture.open_disk();
  int failures = 0;
  const auto body = [&]() -> Task<void> {
    const auto slots = std::min<std::size_t>(kDiskBytes / size, depth * 4);
    for (std::size_t first = 0; first < slots; first += depth) {
      env::Scope scope(fixture.loop());
      for (auto i = first; i < std::min(first + depth, slots); ++i)
        scope.spawn(detail::write_one(*disk, i * size, pattern(size, i), failures));
      co_await scope.join();
    }
    CHECK((co_await disk->flush()).ok());
    for (std::size_t first = 0; first < slots; first += depth) {
      env::Scope scope(fixture.loop());
      for (auto i = first; i < std::min(first + depth, slots); ++i)
        scope.spawn(detail::read_one(*disk, i * size, pattern(size, i), failures));
      co_await scope.join();
    }
    CHECK(disk->stats().writes == slots);
    CHECK(disk->stats().written_bytes == slots * size);
    CHECK(disk->stats().reads == slots);
    CHECK(disk->stats().read_bytes == slots * size);
    CHECK(disk->stats().flushes >= 1);
    CHECK(disk->stats().hung_bytes == 0);
  };
  fixture.run(body());
  CHECK(failures == 0);
}

template <class Fixture>
void check_chains(Fixture& fixture) {
  auto disk = fixture.open_disk();
  const auto body = [&]() -> Task<void> {
    // More pieces than one system call takes (1024), of different sizes, some sharing a slab.
    BufferChain chain;
    ByteVector expected;
    const auto slab = pattern(64 << 10, 5);
    for (std::size_t i = 0; i < 700; ++i) {
      chain.push_back(slab.slice((i % 8) * 4096, i % 3 == 0 ? 8192 : 4096));
      const auto bytes = chain.back().bytes();
      expected.insert(expected.end(), bytes.begin(), bytes.end());
    }
    const auto offset = 8192;
    CHECK((co_await disk->write(offset, chain)).ok());
    auto into = Buffer::zeroed(expected.size());
    CHECK((co_await disk->read(offset, into)).ok());
    CHECK(std::memcmp(into.data(), expected.data(), expected.size()) == 0);

    BufferChain single;
    for (std::size_t i = 0; i < kDiskBytes / 4096; ++i) single.push_back(slab.slice(0, 4096));
    single.resize(std::min<std::size_t>(single.size(), 1024));
    CHECK((co_await disk->write(0, single)).ok());
  };
  fixture.run(body());
}

template <class Fixture>
void check_ends(Fixture& fixture) {
  auto disk = fixture.open_disk();
  CHECK(disk->info().size_bytes == kDiskBytes);
  const auto body = [&]() -> Task<void> {
    const auto last = pattern(4096, 9);
    BufferChain chain{last};
    CHECK((co_await disk->write(kDiskBytes - 4096, chain)).ok());
    auto into = Buffer::zeroed(4096);
    CHECK((co_await disk->read(kDiskBytes - 4096, into)).ok());
    CHECK(same_bytes(into, last));
    auto two = Buffer::zeroed(8192);
    const auto across = co_await disk->read(kDiskBytes - 4096, two);
    REQUIRE_FALSE(across.ok());
    CHECK(across.code() == Code::kIo);
    const auto past = co_await disk->write(kDiskBytes, chain);
    REQUIRE_FALSE(past.ok());
    CHECK(past.code() == Code::kIo);
    CHECK_FALSE(disk->failed());  // the disk is well; the request was not
    CHECK((co_await disk->read(0, into)).ok());
  };
  fixture.run(body());
}

template <class Fixture>
void check_flushes_together(Fixture& fixture) {
  auto disk = fixture.open_disk();
  int failures = 0;
  const auto body = [&]() -> Task<void> {
    env::Scope scope(fixture.loop());
    for (std::uint64_t i = 0; i < 32; ++i) {
      scope.spawn(detail::write_one(*disk, i * 4096, pattern(4096, i), failures));
      scope.spawn(detail::flush_one(*disk, failures));
    }
    co_await scope.join();
  };
  fixture.run(body());
  CHECK(failures == 0);
}

template <class Fixture>
void check_discard(Fixture& fixture) {
  auto disk = fixture.open_disk();
  const auto body = [&]() -> Task<void> {
    const auto bytes = pattern(12288, 3);
    BufferChain chain{bytes};
    CHECK((co_await disk->write(0, chain)).ok());
    CHECK((co_await disk->discard(4096, 4096)).ok());
    auto into = Buffer::zeroed(4096);  // the neighbours stay
    CHECK((co_await disk->read(0, into)).ok());
    CHECK(same_bytes(into, bytes.slice(0, 4096)));
    CHECK((co_await disk->read(8192, into)).ok());
    CHECK(same_bytes(into, bytes.slice(8192, 4096)));
    CHECK((co_await disk->read(4096, into)).ok());  // as anything, but it can be read
    CHECK(disk->info().size_bytes == kDiskBytes);
    CHECK((co_await disk->check_path()).ok());
  };
  fixture.run(body());
}

template <class Fixture>
void check_failed_disk_stays_failed(Fixture& fixture) {
  auto disk = fixture.open_disk();
  const auto body = [&]() -> Task<void> {
    auto buffer = pattern(4096, 1);
    BufferChain chain{buffer};
    CHECK((co_await disk->write(0, chain)).ok());
    CHECK_FALSE(disk->failed());
    disk->fail("pulled by the operator");
    CHECK(disk->failed());
    const auto read = co_await disk->read(0, buffer);
    const auto write = co_await disk->write(0, chain);
    const auto flush = co_await disk->flush();
    const auto discard = co_await disk->discard(0, 4096);
    const auto check = co_await disk->check_path();
    for (const auto* result : {&read, &write, &flush, &discard, &check}) {
      REQUIRE_FALSE(result->ok());
      CHECK(result->code() == Code::kIo);
      CHECK(result->error().message.find("pulled by the operator") != std::string::npos);
    }
    disk->fail("again");  // the first reason stays
    CHECK((co_await disk->flush()).error().message.find("pulled by") != std::string::npos);
  };
  fixture.run(body());
}

template <class Fixture>
void check_disk(Fixture& fixture) {
  for (const std::size_t depth : {1u, 4u, 64u})
    for (const std::size_t size : {4096u, 65536u, 131072u}) {
      DYNAMIC_SECTION("what was written reads back, depth " << depth << ", size " << size) {
        check_round_trips_at_depth(fixture, depth, size);
      }
    }
  SECTION("a depth larger than the ring") { check_round_trips_at_depth(fixture, 1000, 4096); }
  SECTION("a chain is written in order, whatever its pieces") { check_chains(fixture); }
  SECTION("the disk ends where it ends") { check_ends(fixture); }
  SECTION("writes and flushes may be in flight together") { check_flushes_together(fixture); }
  SECTION("a discard leaves the neighbours alone") { check_discard(fixture); }
  SECTION("a failed disk stays failed, and says why") { check_failed_disk_stays_failed(fixture); }
}

}  // namespace square::conformance
