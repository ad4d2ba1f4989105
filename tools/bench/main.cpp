// square-bench list
// square-bench run NAME... | all  [--json] [--small] [--dir DIR]

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <vector>

#include "bench/runs.hpp"

namespace square::bench {

namespace {

constexpr char kHelp[] =
    "square-bench: what the engine costs, against limits measured in the same run\n"
    "\n"
    "  square-bench list\n"
    "  square-bench run NAME... | all [--json] [--small] [--check] [--dir DIR]\n"
    "\n"
    "  --json   one JSON document for each run, one a line\n"
    "  --small  a sliver of each run: whether it runs, not what it costs\n"
    "  --check  exit 1 when a target was missed\n"
    "  --dir    where disks and index files are made (default: /dev/shm, or else /tmp)\n";

constexpr int kUsage = 2;

struct Arguments {
  std::vector<const Run*> runs;
  Settings settings;
  bool json = false, check = false;
};

int refuse(const std::string& why) {
  std::fprintf(stderr, "square-bench: %s; see square-bench --help\n", why.c_str());
  return kUsage;
}

int list() {
  for (const auto& run : all_runs()) std::printf("%-20s %s\n", run.name, run.about);
  return 0;
}

Result<Arguments> parse(const std::vector<std::string_view>& words) {
  Arguments args;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto word = words[i];
    const auto named = std::ranges::find(all_runs(), word, &Run::name);
    if (word == "--json") {
      args.json = true;
    } else if (word == "--small") {
      args.settings.small = true;
    } else if (word == "--check") {
      args.check = true;
    } else if (word == "--dir" && i + 1 < words.size()) {
      args.settings.dir = words[++i];
    } else if (word == "all") {
      for (const auto& run : all_runs()) args.runs.push_back(&run);
    } else if (named != all_runs().end()) {
      args.runs.push_back(&*named);
    } else {
      return Error{Code::kInvalid, "'" + std::string(word) + "' is neither a run nor an option"};
    }
  }
  if (args.runs.empty()) return Error{Code::kInvalid, "name at least one run"};
  return args;
}

int run(Arguments args) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (args.settings.dir.empty())
    args.settings.dir = fs::is_directory("/dev/shm", ignored) ? "/dev/shm" : "/tmp";
  args.settings.dir += "/square-bench-" + std::to_string(getpid());
  bool all_met = true;
  int status = 0;
  for (const auto* each : args.runs) {
    Report report(each->name);
    const auto done = each->run(args.settings, report);
    fs::remove_all(args.settings.dir, ignored);
    if (!done.ok()) {
      std::fprintf(stderr, "%s: %s\n", each->name, done.error().message.c_str());
      status = 1;
      continue;
    }
    std::fputs((args.json ? report.json() : report.text()).c_str(), stdout);
    std::fflush(stdout);
    all_met = all_met && report.all_met();
  }
  return args.check && !all_met ? 1 : status;
}

int start(const std::vector<std::string_view>& words) {
  if (words.empty()) return refuse("say what to do");
  for (const auto word : words) {
    if (word != "--help" && word != "-h") continue;
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (words[0] == "list") return list();
  if (words[0] == kFillAndDie && words.size() == 3) {
    const auto ended = fill_and_die({std::string(words[1]), words[2] == "small"});
    std::fprintf(stderr, "%s: %s\n", kFillAndDie, ended.error().message.c_str());
    return 1;
  }
  if (words[0] != "run") return refuse("unknown command '" + std::string(words[0]) + "'");
  auto args = parse({words.begin() + 1, words.end()});
  if (!args.ok()) return refuse(args.error().message);
  return run(std::move(*args));
}

}  // namespace

}  // namespace square::bench

int main(int argc, char** argv) { return square::bench::start({argv + 1, argv + argc}); }
