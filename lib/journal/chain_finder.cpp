#include "journal/chain_finder.hpp"

#include <algorithm>
#include <tuple>

#include "base/probe.hpp"

namespace square::journal {
namespace {

// How far a chain comes: the epoch first, then the position; the hash only makes the choice
// certain.
using Reach = std::tuple<Epoch, LanePosition, format::Hash128>;

}  // namespace

ChainFinder::ChainFinder(const LaneConfig& config, format::LanePoint checkpoint_tail)
    : config_(config), tail_(checkpoint_tail), durable_claim_(checkpoint_tail.position) {}

void ChainFinder::add(Slot slot, std::uint64_t ring_offset, const format::JournalHeader& header) {
  if (header.pool != config_.pool || header.lane != config_.lane) return;
  const auto position = header.position.value;
  if (position % config_.ring_bytes != ring_offset) return;
  if (ring_offset + header.length > config_.ring_bytes) return;
  if (header.end().value - header.tail.position.value > config_.ring_bytes) return;

  highest_epoch_ = std::max(highest_epoch_, header.epoch);
  durable_claim_ = std::max(durable_claim_, header.durable);
  if (header.tail.position > tail_.position) tail_ = header.tail;
  auto [at, end] = candidates_.equal_range({header.position, header.previous});
  while (at != end && !(at->second.header == header)) ++at;
  if (at == end) {
    at = candidates_.emplace(Key{header.position, header.previous}, Candidate{});
    at->second.header = header;
  }
  at->second.copies.push_back(slot);
}

void ChainFinder::lose(Slot slot) {
  for (auto& [key, candidate] : candidates_) {
    std::erase(candidate.copies, slot);
    std::erase(candidate.good, slot);
  }
}

std::vector<Candidate*> ChainFinder::path() {
  std::map<const Candidate*, Reach> reach;
  const auto best_after = [&](const format::LanePoint& point) {
    Candidate* best = nullptr;
    auto [at, end] = candidates_.equal_range({point.position, point.chain});
    for (; at != end; ++at) {
      if (best != nullptr) SQ_PROBE("journal branches");
      if (best == nullptr || reach.at(&at->second) > reach.at(best)) best = &at->second;
    }
    return best;
  };
  // Ends lie above starts, so what follows a candidate has been judged before it.
  for (auto at = candidates_.rbegin(); at != candidates_.rend(); ++at) {
    const auto& header = at->second.header;
    if (header.position < tail_.position) break;
    Reach here{header.epoch, header.end(), header.chain};
    if (const auto* next = best_after(header.after())) here = std::max(here, reach.at(next));
    reach.emplace(&at->second, here);
  }
  std::vector<Candidate*> path;
  for (auto* batch = best_after(tail_); batch != nullptr; batch = best_after(batch->header.after()))
    path.push_back(batch);
  return path;
}

bool ChainFinder::drop_bad() {
  return std::erase_if(candidates_, [](const auto& entry) {
           return entry.second.verified && entry.second.good.empty();
         }) > 0;
}

}  // namespace square::journal
