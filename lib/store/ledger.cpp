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

LaneLedger::Hold LaneLedger::claim(LanePosition position) {
  const auto found = arrived_.find(position);
  SQ_CHECK(found != arrived_.end(), "a record was claimed that never became durable");
  arrived_.erase(found);
  return Hold(*this, position);
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
