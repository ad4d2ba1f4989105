#pragma once
// Which positions of the lane are still needed, and so how far the tail may go. A record is held from
// the moment it is durable, when nobody has had a chance to look at it yet: the tail never passes a
// record whose effect is not known to be elsewhere. A hold taken before the append would stand below
// records that were written while the append waited for room, and could keep that room from it.

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.hpp"

namespace square::store {

class LaneLedger {
 public:
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept
        : ledger_(std::exchange(other.ledger_, nullptr)), position_(other.position_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(ledger_, other.ledger_);
      std::swap(position_, other.position_);
      return *this;
    }
    ~Hold() { release(); }
    void release();
    bool held() const { return ledger_ != nullptr; }

   private:
    friend class LaneLedger;
    Hold(LaneLedger& ledger, LanePosition position) : ledger_(&ledger), position_(position) {}
    LaneLedger* ledger_ = nullptr;
    LanePosition position_;
  };

  Hold hold(LanePosition position) {
    positions_.insert(position);
    return Hold(*this, position);
  }

  // A record became durable there; whoever appended it takes its hold over by claim().
  void arrived(LanePosition position) { arrived_.insert(position), positions_.insert(position); }
  Hold claim(LanePosition position);

  // The effect of the record is in the index now: needed until a checkpoint holds it too.
  void applied(Hold hold) { applied_.push_back(std::move(hold)); }

  // What is applied now goes into the checkpoint that starts now. While its result is open they stay
  // needed; release them (let the vector die) once it is flushed, or give them back by applied().
  std::vector<Hold> begin_checkpoint() { return std::exchange(applied_, {}); }

  // The lowest needed position; `otherwise` (the lane's durable position) when none is.
  LanePosition tail(LanePosition otherwise) const {
    return positions_.empty() ? otherwise : std::min(*positions_.begin(), otherwise);
  }
  // The same, as it will be once `covered` are released.
  LanePosition tail_without(const std::vector<Hold>& covered, LanePosition otherwise) const;

 private:
  std::multiset<LanePosition> positions_;
  std::multiset<LanePosition> arrived_;  // of these, the unclaimed
  std::vector<Hold> applied_;  // after positions_: released before it dies
};

}  // namespace square::store
