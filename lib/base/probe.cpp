#include "base/probe.hpp"

#include <map>

namespace square {
namespace {

// Constant-initialised: it is there before the first probe registers, whatever the order.
constinit std::atomic<Probe*> first{nullptr};

}  // namespace

Probe::Probe(const char* name) : name_(name), next_(first.load()) {
  while (!first.compare_exchange_weak(next_, this)) {
  }
}

std::vector<ProbeCount> probe_counts() {
  std::map<std::string_view, std::uint64_t> sums;
  for (const auto* probe = first.load(); probe != nullptr; probe = probe->next_)
    sums[probe->name_] += probe->hits_.load(std::memory_order_relaxed);
  std::vector<ProbeCount> counts;
  for (const auto& [name, hits] : sums) counts.push_back({name, hits});
  return counts;
}

void reset_probes() {
  for (auto* probe = first.load(); probe != nullptr; probe = probe->next_)
    probe->hits_.store(0, std::memory_order_relaxed);
}

}  // namespace square
