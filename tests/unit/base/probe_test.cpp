#include "base/probe.hpp"

#include <catch2/catch.hpp>
#include <optional>

#include "base/planted.hpp"

using namespace square;

namespace {

std::optional<std::uint64_t> hits_of(std::string_view name) {
  for (const auto& count : probe_counts())
    if (count.name == name) return count.hits;
  return std::nullopt;
}

void pass(bool rare) {
  SQ_PROBE("probe test: always");
  if (rare) {
    SQ_PROBE("probe test: rare");
  }
}

}  // namespace

TEST_CASE("a probe that was never reached is listed with no hits") {
  reset_probes();
  pass(false);
  pass(false);
  CHECK(hits_of("probe test: always") == 2u);
  CHECK(hits_of("probe test: rare") == 0u);
  pass(true);
  CHECK(hits_of("probe test: rare") == 1u);
  CHECK(hits_of("probe test: no such") == std::nullopt);
}

TEST_CASE("probes of one name are one probe") {
  reset_probes();
  SQ_PROBE("probe test: twice");
  SQ_PROBE("probe test: twice");
  CHECK(hits_of("probe test: twice") == 2u);
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("a planted bug is off until its name is set, and an unknown name lists the known ones") {
  const auto bites = [] { return SQ_PLANTED("planted test"); };
  CHECK_FALSE(bites());
  REQUIRE(set_planted_bug("planted test").ok());
  CHECK(bites());
  clear_planted_bugs();
  CHECK_FALSE(bites());
  const auto unknown = set_planted_bug("planted tset");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.code() == Code::kInvalid);
  CHECK(unknown.error().message.find(" planted test") != std::string::npos);
}
#else
TEST_CASE("planted bugs do not exist in this build") { STATIC_REQUIRE_FALSE(SQ_PLANTED("any")); }
#endif
