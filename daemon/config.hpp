#pragma once
// squared's configuration: one TOML file. docs/configuration.md lists the keys.

#include <string>
#include <vector>

#include "base/ids.hpp"
#include "env/disk.hpp"
#include "env/files.hpp"

namespace square::daemon {

struct Config {
  std::string file;

  // [node]
  std::string name;  // "n1"
  NodeId id;
  CellId cell;
  std::string state_dir;  // the index's working copy; may be lost
  std::string keys_dir;   // root key and data keys; must not be lost

  // [listen]
  std::string data, control, http;

  // [tls]
  std::string tls_ca, tls_certificate, tls_key;

  // [pool]
  std::vector<std::string> disks;  // paths or patterns
  std::uint8_t k = 8, m = 2;       // when the pool is made
  env::DiskEngine disk_engine = env::DiskEngine::kAuto;
  env::Duration disk_deadline = std::chrono::seconds(30);
  env::Duration scrub_interval = std::chrono::hours(7 * 24);   // 0: none begins by itself
  env::Duration retire_slow_after = std::chrono::minutes(10);  // 0: none is retired by itself

  // [engine]
  std::uint64_t write_buffer_bytes = 64u << 20;
  std::uint64_t direct_bytes_min = 256u << 10;
  std::uint32_t groups = 1;
  env::Duration checkpoint_interval = std::chrono::seconds(60);
  env::Duration undelete_window = std::chrono::hours(7 * 24);

  // [limits]
  std::uint64_t connections_max = 512;
  std::uint64_t inflight_bytes_max = 64u << 20;

  // [log]
  std::string log_level = "info";
};

// Errors: kInvalid, one line "FILE:LINE: what" for each thing that is wrong.
Result<Config> parse_config(std::string_view text, const std::string& file);
// Errors: also kNotFound, kDenied for the file itself.
Result<Config> read_config(env::Files& files, const std::string& file);

// What the file names exists and can be used: certificate, keys, a state folder that takes writes,
// disks. `keys_made`: the key store must be there. Errors: kInvalid, one line for each.
Result<> check_surroundings(env::Files& files, const Config& config, bool keys_made);

// Patterns replaced by what they match, sorted, each once. Errors: kNotFound for one without match.
Result<std::vector<std::string>> expand_disks(const std::vector<std::string>& patterns);

}  // namespace square::daemon
