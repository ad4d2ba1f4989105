#pragma once
// What the process is in the middle of, in a page of the state directory that the kernel keeps when
// the process is killed: the next start reads it, for the log and the metrics. It promises nothing;
// a folder that takes no writes, or the loss of the page, only costs the knowledge.
// docs/formats/last_words.md

#include <array>
#include <optional>
#include <string>

#include "base/activity.hpp"
#include "base/bytes.hpp"

namespace square::daemon {

struct LastWords {
  bool clean = false;  // it ended by itself
  std::array<std::uint32_t, kActivityNames.size()> in_flight{};
  bool operator==(const LastWords&) const = default;
};

// Nothing for a page that no squared wrote.
std::optional<LastWords> decode_last_words(Bytes page);
// "killed in the middle of: 2 journal, 1 checkpoint", for the log; empty after a clean end.
std::string last_words_text(const LastWords& words);

class LastWordsPage {
 public:
  // Never fails: without the file, the counters are in ordinary memory.
  static LastWordsPage open(const std::string& file);
  // Of the process before, if it left any.
  const std::optional<LastWords>& before() const { return before_; }
  const ActivitiesPtr& activities() const { return activities_; }
  // The last call before the process ends by itself.
  void end_clean();

 private:
  std::optional<LastWords> before_;
  ActivitiesPtr activities_ = std::make_shared<Activities>();
  std::atomic<std::uint32_t>* clean_ = nullptr;  // in the page, which activities_ keeps
};

}  // namespace square::daemon
