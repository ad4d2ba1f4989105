#include "base/units.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace square;

TEST_CASE("sizes read as people write them, and nothing else does") {
  CHECK(parse_size("4096").value() == 4096);
  CHECK(parse_size("64 MiB").value() == 64u << 20);
  CHECK(parse_size("1GiB").value() == 1u << 30);
  CHECK(parse_size("512 B").value() == 512);
  CHECK(parse_size("2TiB").value() == 2ull << 40);
  for (const auto* bad : {"", "MiB", "64 MB", "64MIB", "-1", "1.5 GiB", "64 MiB x", "20000000 TiB"})
    CHECK(parse_size(bad).code() == Code::kInvalid);
}

TEST_CASE("sizes are shown with three digits") {
  CHECK(size_text(0) == "0 B");
  CHECK(size_text(1023) == "1023 B");
  CHECK(size_text(1536) == "1.50 KiB");
  CHECK(size_text(10u << 20) == "10.0 MiB");
  CHECK(size_text(250ull << 30) == "250 GiB");
}

TEST_CASE("durations need a unit") {
  CHECK(parse_duration("250 ms").value() == std::chrono::milliseconds(250));
  CHECK(parse_duration("30s").value() == std::chrono::seconds(30));
  CHECK(parse_duration("5 min").value() == std::chrono::minutes(5));
  CHECK(parse_duration("1 h").value() == std::chrono::hours(1));
  for (const auto* bad : {"", "30", "s", "30 y", "9999999999999999 h", "5000000 h"})
    CHECK(parse_duration(bad).code() == Code::kInvalid);
}

TEST_CASE("times are RFC 3339 in UTC") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(rfc3339(1'767'225'599'999'999'999) == "2025-12-31T23:59:59Z");
}

TEST_CASE("the nearest name is a few letters away, or there is none") {
  const std::vector<std::string> names{"pool.disks", "pool.data_disks", "listen.data"};
  CHECK(nearest_name("pool.diks", names) == "pool.disks");
  CHECK(nearest_name("pol.data_disk", names) == "pool.data_disks");
  CHECK(nearest_name("x", names).empty());
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("", "abc") == 3);
}
