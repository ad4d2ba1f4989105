#pragma once
// Where lib/ tells what an operator should read. The sink is passed down, never global; it must not
// block, and is called from the loop thread of its user.

#include <functional>
#include <string_view>

namespace square {

enum class LogLevel : unsigned char { kDebug, kInfo, kWarning, kError };
using LogSink = std::function<void(LogLevel level, std::string_view message)>;

}  // namespace square
