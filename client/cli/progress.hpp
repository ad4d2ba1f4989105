#pragma once
// Long work on stderr: a bar on a terminal, else a line every 10 s. No line for what took less.

#include <chrono>
#include <string>

#include "client/transfer.hpp"

namespace square::cli {

// "[####....] 42 %"
std::string bar_text(std::uint64_t done, std::uint64_t total);
std::string progress_text(const std::string& what, std::uint64_t done_bytes,
                          std::uint64_t total_bytes, double seconds);

class ProgressLine {
 public:
  ProgressLine(std::string what, const client::Progress& progress);
  // Call often; shows at most five times a second.
  void update();
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  const client::Progress& progress_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

}  // namespace square::cli
