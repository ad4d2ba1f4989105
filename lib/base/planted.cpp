#include "base/planted.hpp"

#ifdef SQUARE_PLANTED_BUGS

#include <set>

namespace square {
namespace {

constinit std::atomic<PlantedBug*> first{nullptr};

}  // namespace

PlantedBug::PlantedBug(const char* name) : name_(name), next_(first.load()) {
  while (!first.compare_exchange_weak(next_, this)) {
  }
}

std::vector<std::string> planted_bugs() {
  std::set<std::string> names;
  for (const auto* bug = first.load(); bug != nullptr; bug = bug->next_) names.insert(bug->name_);
  return {names.begin(), names.end()};
}

Result<> set_planted_bug(std::string_view name, bool active) {
  bool known = false;
  for (auto* bug = first.load(); bug != nullptr; bug = bug->next_) {
    if (name != bug->name_) continue;
    bug->active_.store(active, std::memory_order_relaxed);
    known = true;
  }
  if (known) return {};
  std::string message = "no planted bug is called '" + std::string(name) + "'; known:";
  for (const auto& each : planted_bugs()) message += " " + each;
  return Error{Code::kInvalid, message};
}

void clear_planted_bugs() {
  for (auto* bug = first.load(); bug != nullptr; bug = bug->next_)
    bug->active_.store(false, std::memory_order_relaxed);
}

}  // namespace square

#endif
