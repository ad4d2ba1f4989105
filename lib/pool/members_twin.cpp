// A member that is retired, and the spare that takes its place.

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/members.hpp"

namespace square::pool {

using format::SlotState;

std::optional<Slot> Members::twin_of(const MemberDisk& disk) const {
  for (Slot slot; slot < slots_end(); slot = slot.next())
    if (twins_[slot.value].get() == &disk) return slot;
  return std::nullopt;
}

void Members::begin_twin(Slot slot, MemberDiskPtr spare) {
  SQ_CHECK(live(slot) && !rebuilding(slot) && !twin(slot), "such a member has no twin");
  twins_[slot.value] = spare;
  live(slot)->attach_twin(std::move(spare));
}

void Members::drop_twin(Slot slot) {
  SQ_CHECK(!twin_named(slot), "a twin that labels may name is not let go");
  twins_[slot.value] = nullptr;
  if (disks_[slot.value]) disks_[slot.value]->detach_twin();
}

bool Members::twin_named(Slot slot) const {
  const auto& twin = twins_[slot.value];
  return twin && table_[slot.value].disk == twin->label.disk;
}

void Members::name_twin(Slot slot) {
  table_[slot.value].disk = twins_[slot.value]->label.disk;
  changed_ = true;
}

MemberDiskPtr Members::seat_twin(Slot slot) {
  const auto twin = twins_[slot.value];
  if (!is_named(slot, *twin) && !SQ_PLANTED("twin_not_named")) return nullptr;
  auto member = std::exchange(disks_[slot.value], twin);
  twins_[slot.value] = nullptr;
  std::erase(spares_, twin);
  let_go(slot, member);
  return member;
}

// The slot is nobody's until labels name the survivor. What is written meanwhile does without it,
// so that it misses nothing that counts on it.
std::optional<Slot> Members::survivor_takes(Slot slot, MemberDiskPtr survivor) {
  SQ_PROBE("a disk failed while labels named its twin");
  const auto twin = std::exchange(twins_[slot.value], nullptr);
  auto member = std::exchange(disks_[slot.value], nullptr);
  table_[slot.value] = {survivor->label.disk, SlotState::kWhole};
  changed_ = true;
  if (survivor == twin) {
    failed_[slot.value] = Failed{member->label.disk,  member->path(),       member->why(),
                                 member->read_errors, member->write_errors, member->corruptions};
    std::erase(spares_, twin);
    let_go(slot, std::move(member));
  } else {
    member->detach_twin();
    slow_.forget(slot);
  }
  joining_[slot.value] = std::move(survivor);
  return slot;
}

void Members::let_go(Slot slot, MemberDiskPtr disk) {
  slow_.forget(slot);
  seen_[slot.value] = {};
  retired_.push_back(std::move(disk));
}

}  // namespace square::pool
