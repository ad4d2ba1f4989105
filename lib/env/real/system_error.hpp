#pragma once
// errno becomes an Error here and nowhere else.

#include <string_view>

#include "base/result.hpp"

namespace square::env {

// "what: text of errno", with the code that fits it.
Error system_error(std::string_view what);
Error system_error(std::string_view what, int number);

}  // namespace square::env
