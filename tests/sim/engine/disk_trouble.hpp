#pragma once
// What happens to the disks of a node, within what its pool promises to survive: at most m of them
// are damaged at a time, each in any way and for as long as it likes. A disk counts as damaged from
// the moment something is ordered for it until heal() has ended.
//
// What each kind means for the count. A disk that lies (writes lost or misdirected, flushes
// dropped), rots, is rolled back, or gives wrong bytes once may lack anything: its strips, its
// copies of journal batches, its label. One that fails, hangs, is full, read-only, gone, or refused
// because a clone of it appeared gives nothing at all. Both are one lost disk. A slow disk may pass
// a deadline and so be lost. Somebody else's disk costs nothing.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/engine/engine_node.hpp"

namespace square::sim {

class DiskTrouble {
 public:
  using Trace = std::function<void(const std::string&)>;
  DiskTrouble(SimWorld& world, EngineNode& node, std::uint64_t seed, Trace trace);

  // Something happens to one disk; nothing when that would be one too many.
  void strike();
  // To be called when the node is down: what happens only to a machine that is off.
  void strike_while_down();
  // Keeps an image of a disk that may be put back later.
  void take_image();
  // A member is retired, also a damaged one: that is no damage. What is wrong with it may be
  // copied.
  void retire();
  bool any() const;
  std::uint64_t strikes() const { return strikes_; }

  // Ends all misbehaviour, replaces what is lost by new disks, waits until spares are filled, and
  // has a checkpoint and a scrub mend the rest. The node runs. Nothing, or what it did not live up
  // to. Gives up, without a word, when the pool is full.
  std::optional<std::string> heal();
  std::uint64_t heals() const { return heals_; }

 private:
  std::size_t budget() const;
  std::optional<std::size_t> victim();
  void note_retirement();
  void say(std::size_t disk, const std::string& what);
  void end_misbehaviour();
  void appear_foreign();
  std::optional<std::string> extra_gone();
  std::optional<std::string> replace_lost();
  bool whole() const;

  SimWorld& world_;
  EngineNode& node_;
  Rng rng_;
  Trace trace_;
  std::vector<bool> damaged_;
  struct Image {
    std::size_t disk;
    const SimMedium* medium;
    BlockMap content;
  };
  std::optional<Image> image_;
  std::optional<std::uint64_t> foreign_writes_;  // of the foreign disk that is there
  std::uint64_t strikes_ = 0, heals_ = 0;
};

}  // namespace square::sim
