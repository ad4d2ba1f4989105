#pragma once

#include <string>

#include "base/log.hpp"

namespace square::daemon {

// To stderr: with time for people, with "<N>" priorities for the journal when systemd listens.
// `level`: debug, info, warning, error.
LogSink make_log(const std::string& level);
void set_log_level(const std::string& level);

}  // namespace square::daemon
