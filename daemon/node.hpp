#pragma once
// One node's process: env, engine, data plane, control plane, HTTP, joined and taken apart in
// order.

#include <memory>

#include "base/log.hpp"
#include "daemon/config.hpp"

namespace square::daemon {

inline constexpr const char* kVersion = "0.1.0";

// Makes the key store and labels the disks of a new node. Errors: kExists when the keys or a label
// are there already: nothing is overwritten.
Result<> format_node(const Config& config);

// Serves until SIGTERM or SIGINT, then drains and stops.
Result<> run_node(const Config& config, LogSink log);

// What --check-config tells beyond the file itself: certificates that parse, folders, disks.
Result<> check_node_config(const Config& config);

}  // namespace square::daemon
