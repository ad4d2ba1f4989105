#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdio>
#include <filesystem>

#include "client/cli/app.hpp"
#include "client/cli/playground.hpp"
#include "client/cli/progress.hpp"
#include "client/cli/shapes.hpp"

using namespace square;
using namespace square::cli;

namespace {

int run_words(std::vector<const char*> words) {
  words.insert(words.begin(), "square");
  return run(static_cast<int>(words.size()), words.data());
}

std::vector<std::string> keys(const Json& document) {
  std::vector<std::string> out;
  for (const auto& [key, value] : document.items()) out.push_back(key);
  return out;
}

}  // namespace

TEST_CASE("wrong usage is 2, a configuration that is not there is 3") {
  CHECK(run_words({}) == 2);
  CHECK(run_words({"volume"}) == 2);
  CHECK(run_words({"nonsense"}) == 2);
  CHECK(run_words({"volume", "create", "a"}) == 2);
  CHECK(run_words({"volume", "create", "a", "--size", "64 MB"}) == 2);
  CHECK(run_words({"volume", "read", "a", "--offset", "0"}) == 2);
  CHECK(run_words({"--config", "/nowhere/client.toml", "volume", "ls"}) == 3);
  CHECK(run_words({"volume", "ls", "--config", "/nowhere/client.toml"}) == 3);
}

TEST_CASE("help is no error") {
  CHECK(run_words({"--help"}) == 0);
  CHECK(run_words({"volume", "import", "--help"}) == 0);
}

TEST_CASE("a playground refuses what this version does not have, before it makes anything") {
  const auto up = [](std::vector<const char*> words) {
    words.insert(words.begin(), {"playground", "up", "/tmp/square_never"});
    return run_words(words);
  };
  CHECK(up({"--roles", "primary,replica"}) == 4);
  CHECK(up({"--roles", "primary,primary"}) == 4);
  CHECK(up({"--roles", "primary,nonsense"}) == 2);
  CHECK(up({"--spares", "1"}) == 4);
  CHECK(up({"--coordinator", "etcd"}) == 4);
  CHECK(up({"--coordinator", "zookeeper"}) == 2);
  CHECK(run_words({"playground", "up", "/tmp/square_never", "--disks", "3"}) == 1);
  CHECK(run_words({"playground", "up", "/tmp/square_never", "--disk-size", "1MiB"}) == 1);
  CHECK_FALSE(std::filesystem::exists("/tmp/square_never"));
  CHECK(run_words({"playground", "ps", "/tmp/square_never"}) == 3);
}

TEST_CASE("every code has its exit") {
  CHECK(exit_code(Code::kInvalid) == 1);
  CHECK(exit_code(Code::kNoSpace) == 1);
  CHECK(exit_code(Code::kNotFound) == 3);
  CHECK(exit_code(Code::kDenied) == 4);
  CHECK(exit_code(Code::kFenced) == 4);
  CHECK(exit_code(Code::kUnsupported) == 4);
  CHECK(exit_code(Code::kUnavailable) == 5);
  CHECK(exit_code(Code::kTimeout) == 5);
  CHECK(exit_code(Code::kOutcomeUnknown) == 6);
}

TEST_CASE("the shapes that scripts read have their keys") {
  CHECK(keys(shape(v1::Volume())) == std::vector<std::string>{"name", "id", "size_bytes",
                                                              "used_bytes", "extent_bytes", "group",
                                                              "state"});
  for (const auto* key :
       {"node", "slot", "uuid", "path", "state", "size_bytes", "live_bytes", "errors"})
    CHECK(shape(v1::Disk()).contains(key));
  for (const auto* key : {"node", "members_live", "members_missing", "spares_free", "redundancy",
                          "rebuild", "scrub", "corruptions_found", "corruptions_repaired"})
    CHECK(shape(v1::Pool()).contains(key));
  for (const auto* key : {"active", "done_bytes", "total_bytes", "bytes_per_s", "eta_s"})
    CHECK(shape(v1::Pool())["rebuild"].contains(key));
  for (const auto* key : {"node", "role", "state", "epoch", "address", "version"})
    CHECK(shape(v1::Node()).contains(key));
  for (const auto* key : {"group", "epoch", "primary", "replica", "in_sync", "sequence",
                          "replica_sequence", "resync"})
    CHECK(shape(v1::Group()).contains(key));
  for (const auto* key : {"operation", "kind", "node", "state", "message", "began", "ended",
                          "restarts", "done_bytes", "total_bytes"})
    CHECK(shape(v1::Operation()).contains(key));
  CHECK(shape(v1::Operation())["ended"].is_null());
  v1::HealthReport report;
  report.set_health("degraded");
  report.add_checks()->set_code("SQ-DISK-FAILED");
  CHECK(keys(shape(report)["checks"][0]) ==
        std::vector<std::string>{"code", "severity", "summary", "action", "since"});
}

TEST_CASE("redundancy follows the members") {
  v1::Pool pool;
  pool.set_k(8);
  pool.set_m(2);
  const auto at = [&](std::uint32_t live) {
    pool.set_members_live(live);
    return shape(pool)["redundancy"].get<std::string>();
  };
  CHECK(at(10) == "full");
  CHECK(at(9) == "degraded");
  CHECK(at(8) == "at_risk");
  CHECK(at(7) == "lost");
}

TEST_CASE("tables align, sizes are for people") {
  auto rows = Json::array();
  rows.push_back(Json{{"name", "a"}, {"size_bytes", 1u << 20}, {"note", nullptr}});
  rows.push_back(Json{{"name", "longer"}, {"size_bytes", 5u}, {"note", "x"}});
  CHECK(table_text(rows, {"name", "size_bytes", "note"}) ==
        "name    size      note\na       1.00 MiB  -\nlonger  5 B       x\n");
}

TEST_CASE("one object is shown as lines, sizes with their unit") {
  CHECK(lines_text(Json{{"name", "v"},
                        {"used_bytes", 1048576u},
                        {"stripes_lost", 0},
                        {"ok", true},
                        {"why", ""}}) ==
        "name:         v\nused:         1.00 MiB\nstripes lost: 0\nok:           yes\n"
        "why:          -\n");
}

TEST_CASE("progress says how much, how fast and how long") {
  CHECK(progress_text("import v", 50u << 20, 100u << 20, 5) ==
        "import v [###############...............] 50 % 50.0 MiB of 100 MiB, 10.0 MiB/s, 5 s left");
  CHECK(bar_text(0, 0) == "[..............................] 0 %");
  CHECK(bar_text(7, 7) == "[##############################] 100 %");
  CHECK(progress_text("import v", 0, 0, 0) == "import v 0 B, 0 B/s");
}
