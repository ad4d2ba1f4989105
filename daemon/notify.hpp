#pragma once

#include <string_view>

namespace square::daemon {

// One datagram to systemd ("READY=1", "STOPPING=1"); does nothing when not started by it.
void notify_systemd(std::string_view state);

}  // namespace square::daemon
