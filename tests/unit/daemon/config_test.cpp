#include "daemon/config.hpp"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "env/real/posix_files.hpp"

using namespace square;
using namespace square::daemon;

namespace {

const std::string kGood = R"([node]
name = "n1"
id = "00112233-4455-6677-8899-aabbccddeeff"
cell = "ffeeddcc-bbaa-9988-7766-554433221100"
state_dir = "/var/lib/square"
keys_dir = "/etc/square/keys"
[tls]
ca = "ca.crt"
certificate = "n1.crt"
key = "n1.key"
[pool]
disks = ["/dev/a", "/dev/b"]
)";

std::string message_of(const std::string& text) {
  const auto config = parse_config(text, "s.toml");
  return config.ok() ? "" : config.error().message;
}

struct Folder {
  Folder() {
    std::string name = "/tmp/square_config_XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void put(const std::string& name) const { std::ofstream(path + "/" + name) << "x"; }
  std::string path;
};

Config config_in(const Folder& folder) {
  auto config = parse_config(kGood, "s.toml").value();
  config.state_dir = folder.path + "/state";
  config.keys_dir = folder.path + "/keys";
  config.tls_ca = folder.path + "/ca.crt";
  config.tls_certificate = folder.path + "/n1.crt";
  config.tls_key = folder.path + "/n1.key";
  return config;
}

}  // namespace

TEST_CASE("a short configuration is enough, and the rest has defaults") {
  const auto config = parse_config(kGood, "s.toml");
  REQUIRE(config.ok());
  CHECK(config->name == "n1");
  CHECK(config->k == 8);
  CHECK(config->m == 2);
  CHECK(config->write_buffer_bytes == 64u << 20);
  CHECK(config->http == "127.0.0.1:7402");
  CHECK(config->disks.size() == 2);
  CHECK(config->cell.to_string() == "ffeeddcc-bbaa-9988-7766-554433221100");
}

TEST_CASE("every key is read") {
  const auto config = parse_config(kGood + R"(data_disks = 4
parity_disks = 1
disk_engine = "threads"
disk_deadline = "5 s"
scrub_interval = "30 d"
retire_slow_after = "1 h"
[listen]
data = "10.0.0.1:1"
control = "10.0.0.1:2"
http = "127.0.0.1:0"
[engine]
write_buffer = "128 MiB"
direct_min = "512KiB"
groups = 4
checkpoint_interval = "10 s"
undelete_window = "3 d"
[limits]
data_connections = 7
data_inflight = "8 MiB"
[log]
level = "debug"
)",
                                   "s.toml");
  REQUIRE(config.ok());
  CHECK(config->k == 4);
  CHECK(config->m == 1);
  CHECK(config->disk_engine == env::DiskEngine::kThreads);
  CHECK(config->disk_deadline == std::chrono::seconds(5));
  CHECK(config->scrub_interval == std::chrono::hours(30 * 24));
  CHECK(config->retire_slow_after == std::chrono::hours(1));
  CHECK(config->control == "10.0.0.1:2");
  CHECK(config->write_buffer_bytes == 128u << 20);
  CHECK(config->direct_bytes_min == 512u << 10);
  CHECK(config->groups == 4);
  CHECK(config->undelete_window == std::chrono::hours(72));
  CHECK(config->connections_max == 7);
  CHECK(config->inflight_bytes_max == 8u << 20);
  CHECK(config->log_level == "debug");
}

TEST_CASE("an unknown key is an error with its line and the nearest name") {
  CHECK_THAT(message_of(kGood + "parity_disk = 2\n"),
             Catch::Equals("s.toml:13: unknown key \"pool.parity_disk\"; the nearest is "
                           "\"pool.parity_disks\""));
  CHECK_THAT(message_of(kGood + "[enginee]\nwrite_buffer = 1\n"),
             Catch::Contains("the nearest is \"engine.write_buffer\""));
}

TEST_CASE("wrong values are named with their line, all of them at once") {
  const auto text = message_of(kGood + R"(disk_deadline = "soon"
disk_engine = "magic"
data_disks = 100
[engine]
write_buffer = "64 MB"
direct_min = "2 MiB"
[listen]
data = "nowhere"
)");
  for (const auto* part : {"s.toml:13:", "\"soon\" is not like", "s.toml:14:", "not one of: auto",
                           "s.toml:15:", "from 1 to 28", "s.toml:17:", "\"64 MB\" is not like",
                           "s.toml:18:", "2.00 MiB", "s.toml:20:", "127.0.0.1:7400"})
    CHECK_THAT(text, Catch::Contains(part));
}

TEST_CASE("what is missing is named") {
  const auto text = message_of("[node]\nname = \"n1\"\nid = \"no-uuid\"\n");
  for (const auto* part :
       {"\"node.cell\" is missing", "\"node.state_dir\" is missing", "\"tls.key\" is missing",
        "\"pool.disks\" is missing", "s.toml:3: \"node.id\": \"no-uuid\" is not a UUID"})
    CHECK_THAT(text, Catch::Contains(part));
}

TEST_CASE(
    "surroundings: missing certificate, missing root key, a state folder that takes no writes") {
  const Folder folder;
  env::PosixFiles files;
  auto config = config_in(folder);
  auto text = check_surroundings(files, config, true).error().message;
  CHECK_THAT(text, Catch::Contains("tls.key") && Catch::Contains("n1.key"));
  CHECK_THAT(text, Catch::Contains("root.key") && Catch::Contains("squared --format"));
  for (const auto* name : {"ca.crt", "n1.crt", "n1.key"}) folder.put(name);
  std::filesystem::create_directory(folder.path + "/keys");
  CHECK(check_surroundings(files, config, false).ok());
  CHECK_FALSE(check_surroundings(files, config, true).ok());
  folder.put("keys/root.key");
  CHECK(check_surroundings(files, config, true).ok());
  folder.put("file");
  config.state_dir = folder.path + "/file/state";  // no folder can be made there
  CHECK_THAT(check_surroundings(files, config, true).error().message,
             Catch::Contains("node.state_dir") && Catch::Contains("must take writes"));
}

TEST_CASE("disks are paths and patterns, sorted, each once") {
  const Folder folder;
  for (const auto* name : {"b.img", "a.img"}) folder.put(name);
  const auto disks = expand_disks({folder.path + "/*.img", folder.path + "/a.img", "/dev/missing"});
  REQUIRE(disks.ok());
  CHECK(*disks ==
        std::vector<std::string>{"/dev/missing", folder.path + "/a.img", folder.path + "/b.img"});
  CHECK(expand_disks({folder.path + "/*.raw"}).code() == Code::kNotFound);
  CHECK(expand_disks({}).code() == Code::kNotFound);
}

TEST_CASE("a configuration file that is not there says which") {
  env::PosixFiles files;
  const auto config = read_config(files, "/nowhere/squared.toml");
  CHECK(config.code() == Code::kNotFound);
  CHECK_THAT(config.error().message, Catch::Contains("/nowhere/squared.toml"));
}
