#include "store/ledger.hpp"

#include "base/check.hpp"

namespace square::store {

void LaneLedger::Hold::release() {
  if (ledger_ == nullptr) return;
  auto& positions = ledger_->positions_;
  const auto found = positions.find(position_);
  SQ_CHECK(found != positions.end(), "a lane position was released twice");
  positions.erase(found);
  ledger_ = nullptr;
}

void LaneLedger::Hold::move_to(LanePosition position) {
  SQ_CHECK(ledger_ != nullptr && position >= position_);
  ledger_->positions_.insert(position);
  ledger_->positions_.erase(ledger_->positions_.find(position_));
  position_ = position;
}

LanePosition LaneLedger::tail_without(const std::vector<Hold>& covered,
                                      LanePosition otherwise) const {
  std::multiset<LanePosition> without;
  for (const auto& hold : covered) without.insert(hold.position_);
  auto skip = without.begin();
  for (const auto position : positions_) {
    if (skip != without.end() && *skip == position) {
      ++skip;
      continue;
    }
    return std::min(position, otherwise);
  }
  return otherwise;
}

}  // namespace square::store
