#pragma once
// A client's configuration: which cell, where, and as whom. One TOML file:
//
//   cell = "uuid"
//   data = ["host:port"]       # data planes
//   control = ["host:port"]    # control planes
//   tenant = 1
//   [tls]
//   ca = "ca.crt"              # relative to this file
//   certificate = "client.crt"
//   key = "client.key"

#include <string>
#include <vector>

#include "base/ids.hpp"

namespace square::client {

struct Config {
  std::string cell;
  std::vector<std::string> data, control;
  TenantId tenant{1};
  std::string tls_ca, tls_certificate, tls_key;
};

// Errors: kInvalid, a line for each thing that is wrong.
Result<Config> parse_config(std::string_view text, const std::string& file);
// Errors: also kNotFound, kDenied.
Result<Config> read_config(const std::string& file);

// The configuration's certificate can be used today: a node would refuse it without saying why.
// Errors: kNotFound, kDenied (the file, or expired), kInvalid.
Result<> check_certificate(const Config& config);

}  // namespace square::client
