#include "client/config.hpp"

#include <chrono>

#include "client/toml/toml.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"

namespace square::client {

namespace {

std::string beside(const std::string& file, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  const auto slash = file.rfind('/');
  return slash == std::string::npos ? path : file.substr(0, slash + 1) + path;
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& file) {
  SQ_TRY(auto table, config::Table::parse(text, file));
  Config config;
  config.cell = table.text("cell");
  if (!config.cell.empty() && !Uuid::parse(config.cell).ok())
    table.complain("cell", "\"" + config.cell + "\" is not a UUID");
  config.data = table.texts("data");
  config.control = table.texts("control");
  config.tenant = TenantId(table.number("tenant", 1, 1, INT64_MAX));
  config.tls_ca = beside(file, table.text("tls.ca"));
  config.tls_certificate = beside(file, table.text("tls.certificate"));
  config.tls_key = beside(file, table.text("tls.key"));
  SQ_TRY(table.finish());
  return config;
}

Result<Config> read_config(const std::string& file) {
  env::PosixFiles files;
  auto bytes = files.read(file, 1u << 20);
  if (!bytes.ok()) return std::move(bytes).error().context("read the configuration " + file);
  return parse_config(as_text(*bytes), file);
}

Result<> check_certificate(const Config& config) {
  env::PosixFiles files;
  SQ_TRY(const auto pem, files.read(config.tls_certificate, 1u << 20));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return env::check_validity(config.tls_certificate, std::string(as_text(pem)),
                             {std::chrono::nanoseconds(now).count()});
}

}  // namespace square::client
