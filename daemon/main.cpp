// squared: one node of a cell.

#include <cstdio>
#include <string>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/log.hpp"
#include "daemon/node.hpp"
#include "env/real/posix_files.hpp"

using namespace square;

namespace {

constexpr const char* kUsage =
    "squared --config FILE          serve until SIGTERM; SIGHUP reloads certificates and log "
    "level\n"
    "squared --check-config FILE    say what is wrong with the file and what it names, and exit\n"
    "squared --format --config FILE make a new node: keys, and labels on disks that carry none\n"
    "squared --version\n";

constexpr int kFailed = 1, kUsageError = 2;

int fail(const Error& error, int code) {
  std::fprintf(stderr, "squared: %s\n", error.message.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::string file;
  bool check = false, format = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word == "--help" || word == "-h") return std::fputs(kUsage, stdout), 0;
    if (word == "--version") return std::printf("squared %s\n", daemon::kVersion), 0;
    if (word == "--format") {
      format = true;
    } else if ((word == "--config" || word == "--check-config") && i + 1 < words.size()) {
      check = check || word == "--check-config";
      file = words[++i];
    } else {
      std::fprintf(stderr, "squared: \"%s\" is not understood\n%s", word.c_str(), kUsage);
      return kUsageError;
    }
  }
  if (file.empty() || (check && format)) return std::fputs(kUsage, stderr), kUsageError;

  env::PosixFiles files;
  const auto config = daemon::read_config(files, file);
  if (!config.ok()) return fail(config.error(), kUsageError);
  if (check) {
    const auto checked = daemon::check_node_config(*config);
    if (!checked.ok()) return fail(checked.error(), kUsageError);
    std::printf("%s is good\n", file.c_str());
    return 0;
  }
  const auto done = format ? daemon::format_node(*config)
                           : daemon::run_node(*config, daemon::make_log(config->log_level));
  return done.ok() ? 0 : fail(done.error(), kFailed);
}
