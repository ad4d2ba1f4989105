#pragma once
// How the commands are called: names, options, examples. What they do is in commands.hpp.

#include <CLI/CLI.hpp>

#include "client/cli/commands.hpp"
#include "client/cli/playground.hpp"

namespace square::cli {

// The chosen command, run after parsing, when the globals are known.
using Action = std::function<Result<>(Context&, int* exit)>;

class CommandTree {
 public:
  CommandTree();
  // Throws CLI::ParseError. Afterwards globals() and action() are those of the command line.
  void parse(int argc, const char* const* argv);
  CLI::App& app() { return app_; }
  const Globals& globals() const { return globals_; }
  const Action& action() const { return action_; }
  // --watch: the action is to be repeated with this pause.
  std::optional<std::chrono::nanoseconds> watch() const;

  // Of each command, such as "volume create".
  struct Help {
    std::string path;
    std::vector<std::string> examples;
  };
  std::vector<Help> helps();

 private:
  CLI::App* group(const std::string& name, const std::string& about);
  // A command has at least one example, a line each.
  CLI::App* command(CLI::App* parent, const std::string& name, const std::string& about,
                    const std::string& examples, Action action);
  // One without an exit code of its own.
  template <class Function>
  static Action plain(Function function) {
    return [function](Context& context, int*) { return function(context); };
  }
  void watchable(CLI::App* command);
  void name_of(CLI::App* command);
  void node_option(CLI::App* command);
  void timeout_option(CLI::App* command);
  // --wait, and the --timeout that needs it.
  void wait_options(CLI::App* command, const std::string& help);
  void size_option(CLI::App* command, const std::string& flag, std::uint64_t& into,
                   const std::string& about, bool required);

  void add_playground();
  void add_volume();
  void add_content();
  void add_snapshot();
  void add_disk();
  void add_pool();
  void add_operations();
  void add_cell();

  CLI::App app_;
  Globals globals_;
  Action action_;
  CLI::App* volume_ = nullptr;
  PlaygroundUp up_;
  VolumeCreate create_;
  ReadPoint point_;
  WaitFor wait_;
  std::string folder_, node_, signal_ = "KILL", name_, file_, snapshot_, snapshot_name_, id_,
                              shell_;
  std::vector<std::string> volumes_;
  std::uint64_t size_ = 0, offset_ = 0, length_ = 0;
  std::uint64_t watch_ns_ = 2'000'000'000;
  std::uint32_t slot_ = 0;
  bool deleted_ = false, watch_ = false;
};

// Completions for bash, zsh or fish, made from the tree. Errors: kInvalid (another shell).
Result<std::string> completions(CLI::App& app, const std::string& shell);

}  // namespace square::cli
