#pragma once

namespace square::cli {

// The whole program: parses, runs one command, reports. Gives the exit code.
int run(int argc, const char* const* argv);

}  // namespace square::cli
