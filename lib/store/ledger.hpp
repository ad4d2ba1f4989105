#pragma once
// Which positions of the lane are still needed, and so how far the tail may go. A record is held
// from the moment it is durable, when nobody has had a chance to look at it yet: the tail never
// passes a record whose effect is not known to be elsewhere. A hold taken before the append would
// stand below records that were written while the append waited for room, and could keep that room
// from it.
//
//   durable --arrived()--> unapplied --applied()--> in the index --checkpoint--> not needed

#include <set>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "base/planted.hpp"

namespace square::store {

class LaneLedger {
 public:
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept
        : ledger_(std::exchange(other.ledger_, nullptr)),
          position_(other.position_),
          applied_(other.applied_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(ledger_, other.ledger_);
      std::swap(position_, other.position_);
      std::swap(applied_, other.applied_);
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
    bool applied_ = false;
  };

  // A record that recovery found.
  Hold hold(LanePosition position) {
    unapplied_.insert(position);
    return Hold(*this, position);
  }
  // A record became durable there; whoever appended it takes its hold over by claim().
  void arrived(LanePosition position) {
    arrived_.insert(position);
    unapplied_.insert(position);
  }
  Hold claim(LanePosition position);

  // The effect of the record is in the index now: needed until a checkpoint holds it too.
  void applied(Hold hold);

  // Everything below is in the index, or stands again above. `durable`: the lane's.
  LanePosition unapplied_from(LanePosition durable) const { return lowest(unapplied_, durable); }
  // Everything below is in a checkpoint too, or not needed.
  LanePosition tail(LanePosition durable) const {
    if (SQ_PLANTED("trim_early")) return unapplied_from(durable);
    return std::min(unapplied_from(durable), lowest(uncovered_, durable));
  }

  // What is applied now goes into the checkpoint that starts now. It stays needed until that is
  // flushed: let the vector die then, or give the holds back by applied().
  std::vector<Hold> begin_checkpoint() { return std::exchange(applied_, {}); }

 private:
  using Positions = std::multiset<LanePosition>;
  static LanePosition lowest(const Positions& positions, LanePosition otherwise) {
    return positions.empty() ? otherwise : std::min(*positions.begin(), otherwise);
  }

  Positions unapplied_;
  Positions arrived_;          // of these, the unclaimed
  Positions uncovered_;        // applied, and in no checkpoint
  std::vector<Hold> applied_;  // last: its holds go before the sets
};

}  // namespace square::store
