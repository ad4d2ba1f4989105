#include "store/ledger.hpp"

#include "base/check.hpp"

namespace square::store {

namespace {

void erase_one(std::multiset<LanePosition>& positions, LanePosition position,
               std::string_view what) {
  const auto found = positions.find(position);
  SQ_CHECK(found != positions.end(), what);
  positions.erase(found);
}

}  // namespace

void LaneLedger::Hold::release() {
  if (ledger_ == nullptr) return;
  erase_one(applied_ ? ledger_->uncovered_ : ledger_->unapplied_, position_,
            "a lane position was released twice");
  ledger_ = nullptr;
}

LaneLedger::Hold LaneLedger::claim(LanePosition position) {
  erase_one(arrived_, position, "a record was claimed that never became durable");
  return Hold(*this, position);
}

void LaneLedger::applied(Hold hold) {
  if (!std::exchange(hold.applied_, true)) {
    erase_one(unapplied_, hold.position_, "a record was applied twice");
    uncovered_.insert(hold.position_);
  }
  applied_.push_back(std::move(hold));
}

}  // namespace square::store
