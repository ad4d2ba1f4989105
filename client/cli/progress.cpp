#include "client/cli/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/units.hpp"

namespace square::cli {

namespace {

constexpr std::size_t kBarWidth = 30;

}  // namespace

std::string bar_text(std::uint64_t done, std::uint64_t total) {
  const double part =
      total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto full = static_cast<std::size_t>(part * kBarWidth);
  return "[" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "] " +
         std::to_string(static_cast<int>(part * 100)) + " %";
}

std::string progress_text(const std::string& what, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, double seconds) {
  const auto rate =
      seconds > 0 ? static_cast<std::uint64_t>(static_cast<double>(done_bytes) / seconds) : 0;
  auto text = what + " ";
  if (total_bytes > 0) text += bar_text(done_bytes, total_bytes) + " ";
  text += size_text(done_bytes);
  if (total_bytes > 0) text += " of " + size_text(total_bytes);
  text += ", " + size_text(rate) + "/s";
  if (rate > 0 && total_bytes > done_bytes)
    text += ", " + std::to_string((total_bytes - done_bytes) / rate) + " s left";
  return text;
}

ProgressLine::ProgressLine(std::string what, const client::Progress& progress)
    : what_(std::move(what)), progress_(progress), terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressLine::update() {
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  if (now - last_ < pause) return;
  last_ = now;
  shown_ = true;
  const auto text = progress_text(what_, progress_.done_bytes, progress_.total_bytes,
                                  std::chrono::duration<double>(now - begin_).count());
  std::fprintf(stderr, terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
}

void ProgressLine::end() {
  if (shown_ && terminal_) std::fprintf(stderr, "\r\033[K");
}

}  // namespace square::cli
