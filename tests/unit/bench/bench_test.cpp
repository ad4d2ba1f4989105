#include <catch2/catch.hpp>

#include "bench/report.hpp"
#include "bench/usage.hpp"

using namespace square;
using namespace square::bench;

TEST_CASE("a percentile is a value that was measured, the smallest that so many are not above") {
  Samples samples;
  CHECK(samples.percentile(50) == 0);
  for (const double value : {5.0, 1.0, 4.0, 2.0, 3.0}) samples.add(value);
  CHECK(samples.percentile(0) == 1);
  CHECK(samples.percentile(20) == 1);
  CHECK(samples.percentile(21) == 2);
  CHECK(samples.median() == 3);
  CHECK(samples.percentile(99) == 5);
  CHECK(samples.max() == 5);
  CHECK(samples.mean() == 3);
  samples.add(0);  // also after it was sorted
  CHECK(samples.percentile(0) == 0);
  CHECK(samples.median() == 2);
  CHECK(samples.count() == 6);
}

TEST_CASE("numbers are printed with three digits and without an exponent") {
  CHECK(digits(0) == "0");
  CHECK(digits(1.3149) == "1.31");
  CHECK(digits(0.0012345) == "0.00123");
  CHECK(digits(12345678) == "12345678");
  CHECK(digits(-45.678) == "-45.7");
}

TEST_CASE("a target is met on the right side of its bound") {
  Report report("some-run");
  report.number("speed \"fast\"", 12, "MB/s");
  report.at_most("ratio", 1.35, 1.35, "x");
  report.at_least("rate", 500, 500, "1/s");
  CHECK(report.all_met());
  CHECK(report.text().find("MISSED") == std::string::npos);
  report.at_most("other ratio", 1.36, 1.35, "x");
  CHECK_FALSE(report.all_met());
  CHECK(report.text().find("at most 1.35: MISSED") != std::string::npos);
  Report low("other-run");
  low.at_least("rate", 499, 500, "1/s");
  CHECK_FALSE(low.all_met());
  CHECK(low.json() ==
        "{\"run\":\"other-run\",\"numbers\":[],\"targets\":[{\"name\":\"rate\",\"value\":499,"
        "\"unit\":\"1/s\",\"at_least\":500,\"met\":false}]}\n");
  CHECK(report.json().find("\"speed \\\"fast\\\"\"") != std::string::npos);
}

TEST_CASE("what a process has used only grows, and work shows in it") {
  const auto before = usage_now();
  volatile unsigned sum = 0;
  const auto cost = cpu_of_call(3, 10, [&] {
    for (unsigned i = 0; i < 100'000; ++i) sum = sum + i;
  });
  const auto used = usage_now() - before;
  CHECK(cost > 0);
  CHECK(used.cpu_s >= cost * 10);
  CHECK(used.wall_s > 0);
  CHECK(resident_bytes() > 0);
  CHECK(resident_peak_bytes() >= resident_bytes() / 2);
}
