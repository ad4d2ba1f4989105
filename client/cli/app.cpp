#include "client/cli/app.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "client/cli/tree.hpp"

namespace square::cli {

namespace {

// A usage error, or a request for help. `json` cannot be asked of the parser: it has failed.
int report_usage(CommandTree& tree, const CLI::ParseError& error, bool json) {
  if (error.get_exit_code() == 0) return tree.app().exit(error);
  auto* at = &tree.app();  // the deepest command that was understood
  for (auto below = at->get_subcommands(); !below.empty(); below = at->get_subcommands())
    at = below.front();
  auto path = at->get_name();
  for (auto* up = at->get_parent(); up != nullptr; up = up->get_parent())
    path = up->get_name() + " " + path;
  report_error(json, "usage", error.what(), path + " --help says how it is called");
  return kExitUsage;
}

// An unreachable node does not end a watch: that it comes back is what is waited for.
bool may_pass(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kTimeout;
}

int run_watch(const CommandTree& tree, Context& context, std::chrono::nanoseconds pause) {
  const bool clear = !tree.globals().json && isatty(STDOUT_FILENO) == 1;
  for (;;) {
    if (clear) std::fputs("\033[H\033[2J", stdout);
    int exit = 0;
    const auto done = tree.action()(context, &exit);
    if (!done.ok()) {
      const int code = report(tree.globals(), done.error());
      if (!may_pass(done.error())) return code;
    }
    if (std::fflush(stdout) != 0) return kExitFailed;  // nobody reads it any more
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

int run(int argc, const char* const* argv) {
  setenv("GRPC_VERBOSITY", "NONE", 0);  // our own errors say it, once
  CommandTree tree;
  try {
    tree.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool json = std::any_of(argv, argv + argc,
                                  [](const char* word) { return word == std::string("--json"); });
    return report_usage(tree, error, json);
  }
  Context context(tree.globals());
  if (const auto pause = tree.watch()) return run_watch(tree, context, *pause);
  int exit = 0;
  const auto done = tree.action()(context, &exit);
  return done.ok() ? exit : report(tree.globals(), done.error());
}

}  // namespace square::cli
