#include "daemon/config.hpp"

#include <glob.h>

#include <algorithm>
#include <charconv>

#include "client/toml/toml.hpp"

namespace square::daemon {

namespace {

constexpr std::size_t kConfigBytesMax = 1u << 20;
constexpr std::size_t kPemBytesMax = 1u << 20;

template <class UuidType>
UuidType uuid_of(config::Table& table, const std::string& key) {
  const auto text = table.text(key);
  const auto uuid = Uuid::parse(text);
  if (!uuid.ok() && !text.empty()) table.complain(key, "\"" + text + "\" is not a UUID");
  return {uuid.ok() ? *uuid : Uuid{}};
}

std::string address_of(config::Table& table, const std::string& key, const std::string& fallback) {
  const auto text = table.text(key, fallback);
  const auto colon = text.rfind(':');
  unsigned port = 65536;
  if (colon != std::string::npos) {
    const auto* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end) port = 65536;
  }
  if (colon == 0 || port > 65535)
    table.complain(key, "\"" + text + "\" is not like \"127.0.0.1:7400\"");
  return text;
}

env::DiskEngine disk_engine_of(config::Table& table) {
  const auto name = table.choice("pool.disk_engine", "auto", {"auto", "uring", "threads"});
  if (name == "uring") return env::DiskEngine::kUring;
  return name == "threads" ? env::DiskEngine::kThreads : env::DiskEngine::kAuto;
}

void read_node(config::Table& table, Config& c) {
  c.name = table.text("node.name");
  c.id = uuid_of<NodeId>(table, "node.id");
  c.cell = uuid_of<CellId>(table, "node.cell");
  table.choice("node.role", "primary", {"primary"});
  c.state_dir = table.text("node.state_dir");
  c.keys_dir = table.text("node.keys_dir");
  c.data = address_of(table, "listen.data", "0.0.0.0:7400");
  c.control = address_of(table, "listen.control", "0.0.0.0:7401");
  c.http = address_of(table, "listen.http", "127.0.0.1:7402");
  c.tls_ca = table.text("tls.ca");
  c.tls_certificate = table.text("tls.certificate");
  c.tls_key = table.text("tls.key");
  c.log_level = table.choice("log.level", "info", {"debug", "info", "warning", "error"});
}

void read_storage(config::Table& table, Config& c) {
  c.disks = table.texts("pool.disks");
  c.k = static_cast<std::uint8_t>(table.number("pool.data_disks", 8, 1, 28));
  c.m = static_cast<std::uint8_t>(table.number("pool.parity_disks", 2, 1, 4));
  c.disk_engine = disk_engine_of(table);
  c.disk_deadline = table.duration("pool.disk_deadline", c.disk_deadline);
  c.scrub_interval = table.duration("pool.scrub_interval", c.scrub_interval);
  c.retire_slow_after = table.duration("pool.retire_slow_after", c.retire_slow_after);
  c.write_buffer_bytes =
      table.size("engine.write_buffer", c.write_buffer_bytes, 4u << 20, 16ull << 30);
  c.direct_bytes_min = table.size("engine.direct_min", c.direct_bytes_min, 4u << 10, 1u << 20);
  c.groups = static_cast<std::uint32_t>(table.number("engine.groups", 1, 1, 64));
  c.checkpoint_interval = table.duration("engine.checkpoint_interval", c.checkpoint_interval);
  c.undelete_window = table.duration("engine.undelete_window", c.undelete_window);
  c.connections_max = table.number("limits.data_connections", c.connections_max, 1, 100'000);
  c.inflight_bytes_max =
      table.size("limits.data_inflight", c.inflight_bytes_max, 4u << 20, 16ull << 30);
}

bool is_pattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file) {
  SQ_TRY(auto table, config::Table::parse(text, file));
  Config config;
  config.file = file;
  read_node(table, config);
  read_storage(table, config);
  SQ_TRY(table.finish());
  return config;
}

Result<Config> read_config(env::Files& files, const std::string& file) {
  auto bytes = files.read(file, kConfigBytesMax);
  if (!bytes.ok()) return std::move(bytes).error().context("read the configuration " + file);
  return parse_config(as_text(*bytes), file);
}

Result<> check_surroundings(env::Files& files, const Config& config, bool keys_made) {
  std::string lines;
  const auto complain = [&](const std::string& key, const std::string& why) {
    lines += (lines.empty() ? "" : "\n") + config.file + ": " + key + ": " + why;
  };
  const auto readable = [&](const std::string& key, const std::string& path) {
    const auto bytes = files.read(path, kPemBytesMax);
    if (!bytes.ok()) complain(key, bytes.error().message);
  };
  readable("tls.ca", config.tls_ca);
  readable("tls.certificate", config.tls_certificate);
  readable("tls.key", config.tls_key);
  if (keys_made && !files.exists(config.keys_dir + "/root.key"))
    complain("node.keys_dir", "there is no root key " + config.keys_dir +
                                  "/root.key; without it nothing here can be read. Bring it back "
                                  "from its copy, or make a new node by squared --format");
  const auto probe = config.state_dir + "/.writable";
  auto writable = files.make_folder(config.state_dir);
  if (writable.ok()) writable = files.write_atomic(probe, as_bytes("yes\n"));
  if (writable.ok()) writable = files.remove_tree(probe);
  if (!writable.ok())
    complain("node.state_dir", "the folder must take writes: " + writable.error().message);
  const auto disks = expand_disks(config.disks);
  if (!disks.ok()) complain("pool.disks", disks.error().message);
  if (lines.empty()) return {};
  return Error{Code::kInvalid, lines};
}

Result<std::vector<std::string>> expand_disks(const std::vector<std::string>& patterns) {
  std::vector<std::string> paths;
  for (const auto& pattern : patterns) {
    if (!is_pattern(pattern)) {
      paths.push_back(pattern);  // one that is missing today is reported as missing, not refused
      continue;
    }
    glob_t found{};
    const int result = glob(pattern.c_str(), 0, nullptr, &found);
    for (std::size_t i = 0; result == 0 && i < found.gl_pathc; ++i)
      paths.emplace_back(found.gl_pathv[i]);
    globfree(&found);
    if (result != 0) return Error{Code::kNotFound, "nothing matches \"" + pattern + "\""};
  }
  std::ranges::sort(paths);
  const auto doubled = std::ranges::unique(paths);
  paths.erase(doubled.begin(), doubled.end());
  if (paths.empty()) return Error{Code::kNotFound, "no disk is named"};
  return paths;
}

}  // namespace square::daemon
