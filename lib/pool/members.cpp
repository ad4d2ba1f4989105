#include "pool/members.hpp"

#include <algorithm>

#include "base/probe.hpp"
#include "pool/labels.hpp"
#include "pool/parallel.hpp"

namespace square::pool {

using format::SlotState;

namespace {

constexpr std::int64_t kLagsFactor = 4;

Async<> probe_one(MemberDiskPtr disk) {
  SQ_CO_TRY(co_await disk->check_path());
  const auto label = co_await disk->read_any_label();
  if (!label.ok()) disk->fail("unreadable: " + label.error().message);
  co_return label;
}

}  // namespace

Members::Members(env::Loop& loop, Membership membership, CellId cell, NodeId node)
    : loop_(loop),
      geometry_(membership.geometry),
      cell_(cell),
      node_(node),
      pool_(membership.pool),
      generation_(membership.generation),
      table_(std::move(membership.slots)),
      named_(table_),
      disks_(table_.size()),
      joining_(table_.size()),
      twins_(table_.size()),
      failed_(table_.size()),
      built_(table_.size(), std::vector<bool>(geometry_.chunks)),
      slow_(table_.size(), geometry_.m),
      seen_(table_.size()),
      label_mutex_(loop),
      lagging_written_(loop),
      scope_(loop) {
  epoch = membership.epoch;
}

MemberDiskPtr Members::live(Slot slot) const {
  const auto& disk = disks_[slot.value];
  return disk && !disk->failed() ? disk : nullptr;
}

std::vector<Slot> Members::live_slots() const {
  std::vector<Slot> slots;
  for (Slot slot; slot < slots_end(); slot = slot.next())
    if (live(slot)) slots.push_back(slot);
  return slots;
}

std::vector<Slot> Members::writable_slots() const {
  auto slots = live_slots();
  std::erase_if(slots, [this](Slot slot) { return aside(slot); });
  return slots;
}

std::vector<Slot> Members::missing_slots() const {
  std::vector<Slot> slots;
  for (Slot slot; slot < slots_end(); slot = slot.next())
    if (!live(slot)) slots.push_back(slot);
  return slots;
}

bool Members::rebuilding(Slot slot) const {
  return table_[slot.value].state == SlotState::kRebuilding;
}

std::size_t Members::whole_count() const {
  std::size_t count = 0;
  for (const auto slot : live_slots()) count += rebuilding(slot) ? 0 : 1;
  return count;
}

MemberDiskPtr Members::holder(Slot slot, SegmentId segment) const {
  if (slot >= slots_end()) return nullptr;
  if (rebuilding(slot) && !built(slot, segment)) return nullptr;
  return live(slot);
}

void Members::set_built(Slot slot, SegmentId segment, bool built) {
  built_[slot.value][segment.value] = built;
}

MemberDiskPtr Members::free_spare() const {
  const auto spare = std::ranges::find_if(spares_, [this](const auto& s) { return is_free(*s); });
  return spare == spares_.end() ? nullptr : *spare;
}

bool Members::is_free(const MemberDisk& spare) const {
  return !spare.failed() && !twin_of(spare) && !spare.mirrors();
}

MemberDiskPtr Members::find_spare(DiskId disk) const {
  const auto spare =
      std::ranges::find_if(spares_, [&](const auto& s) { return s->label.disk == disk; });
  return spare == spares_.end() ? nullptr : *spare;
}

std::vector<MemberDiskPtr> Members::all() const {
  auto all = spares_;
  for (const auto* some : {&disks_, &joining_})
    for (const auto& disk : *some)
      if (disk) all.push_back(disk);
  all.insert(all.end(), retired_.begin(), retired_.end());
  return all;
}

std::optional<Slot> Members::slot_of(const MemberDisk& disk) const {
  for (Slot slot; slot < slots_end(); slot = slot.next())
    if (disks_[slot.value].get() == &disk || joining_[slot.value].get() == &disk) return slot;
  return std::nullopt;
}

std::optional<env::Duration> Members::peers_usual(Slot slot, RequestKind kind,
                                                  std::uint64_t size_bytes) const {
  std::vector<const UsualTime*> peers;
  for (const auto peer : live_slots())
    if (peer != slot) peers.push_back(&disks_[peer.value]->times().of(kind, size_bytes));
  return median_usual(peers);
}

bool Members::lags(Slot slot, RequestKind kind, std::uint64_t size_bytes) const {
  const auto disk = live(slot);
  const auto usual = peers_usual(slot, kind, size_bytes);
  if (!disk || !usual) return false;
  const auto& own = disk->times().of(kind, size_bytes);
  return own.known() && own.high() > *usual * kLagsFactor;
}

bool Members::set_aside(Slot slot) {
  if (!live(slot)) return true;
  // As many copies and as much parity as ever must be had without it.
  if (!aside(slot) && writable_slots().size() <= std::size_t{geometry_.m} + 1) return false;
  return slow_.late(slot, loop_.now());
}

std::vector<Slot> Members::look_at_speed() {
  std::vector<Slot> back;
  const auto now = loop_.now();
  for (const auto slot : live_slots()) {
    slow_.look(slot, behind(slot), now);
    if (!slow_.may_return(slot, now) || live(slot)->writes_in_flight() > 0) continue;
    slow_.came_back(slot, now);
    back.push_back(slot);
  }
  return back;
}

// By what it did since the last look; nothing when it did nothing that peers can be asked about.
std::optional<bool> Members::behind(Slot slot) {
  std::optional<bool> behind;
  const auto& own = live(slot)->times();
  for (const auto kind : {RequestKind::kRead, RequestKind::kWrite, RequestKind::kFlush}) {
    for (std::size_t size_class = 0; size_class < RequestTimes::kClasses; ++size_class) {
      const auto& time = own.at(kind, size_class);
      if (!time.known() || time.samples() == seen_[slot.value].at(kind, size_class).samples())
        continue;
      std::vector<const UsualTime*> peers;
      for (const auto peer : live_slots())
        if (peer != slot) peers.push_back(&disks_[peer.value]->times().at(kind, size_class));
      if (const auto usual = median_usual(peers))
        behind = behind.value_or(false) || SlowCore::is_behind(time.high(), *usual);
    }
  }
  seen_[slot.value] = own;
  return behind;
}

std::optional<Slot> Members::note_failed(const MemberDisk& disk) {
  if (const auto slot = twin_of(disk)) {
    if (twin_named(*slot)) return survivor_takes(*slot, disks_[slot->value]);
    drop_twin(*slot);
  }
  const auto slot = slot_of(disk);
  if (!slot) return std::nullopt;
  if (twin(*slot) && twin_named(*slot)) return survivor_takes(*slot, twin(*slot));
  if (twin(*slot)) drop_twin(*slot);
  auto& entry = table_[slot->value];
  failed_[slot->value] = Failed{entry.disk,       disk.path(),       disk.why(),
                                disk.read_errors, disk.write_errors, disk.corruptions};
  entry.state = SlotState::kFailed;
  changed_ = true;
  slow_.forget(*slot);
  auto& seat = joining_[slot->value] ? joining_[slot->value] : disks_[slot->value];
  retired_.push_back(std::exchange(seat, nullptr));
  return slot;
}

void Members::take_slot(Slot slot, MemberDiskPtr spare) {
  SQ_CHECK(!live(slot) && !joining(slot), "a slot was given away while its disk is good");
  slow_.forget(slot);
  seen_[slot.value] = {};
  std::erase(spares_, spare);
  table_[slot.value] = {spare->label.disk, SlotState::kRebuilding};
  built_[slot.value].assign(geometry_.chunks, false);
  joining_[slot.value] = std::move(spare);
  changed_ = true;
}

void Members::seat_joined() {
  for (Slot slot; slot < slots_end(); slot = slot.next()) {
    auto& disk = joining_[slot.value];
    if (!disk || disk->failed()) continue;  // a failed one is announced, and note_failed() takes it
    if (is_named(slot, *disk)) disks_[slot.value] = std::exchange(disk, nullptr);
  }
}

// By its own label, and by the last round: an older label of its may do so as well.
bool Members::is_named(Slot slot, const MemberDisk& disk) const {
  const auto& own = disk.label.slots;
  return named_[slot.value].disk == disk.label.disk && slot.value < own.size() &&
         own[slot.value].disk == disk.label.disk && disk.label.pool_generation == generation_;
}

void Members::set_whole(Slot slot) {
  table_[slot.value].state = SlotState::kWhole;
  changed_ = true;
}

format::Label Members::label_for(const MemberDisk& disk) const {
  format::Label label;
  label.cell = cell_;
  label.node = node_;
  label.pool = pool_;
  label.disk = disk.label.disk;
  const auto entry = std::ranges::find(named_, disk.label.disk, &format::SlotEntry::disk);
  const bool member = entry != named_.end() && entry->state != SlotState::kFailed;
  label.role = member ? format::DiskRole::kMember : format::DiskRole::kSpare;
  if (member) label.slot = Slot(static_cast<std::uint16_t>(entry - named_.begin()));
  label.k = geometry_.k;
  label.m = geometry_.m;
  label.chunk_bytes = geometry_.chunk_bytes;
  label.chunks = geometry_.chunks;
  label.journal_bytes = geometry_.journal_bytes;
  label.pool_generation = generation_;
  label.epoch = epoch;
  label.slots = named_;
  label.newest = newest;
  label.previous = previous;
  return label;
}

std::vector<MemberDiskPtr> Members::writable() const {
  auto disks = all();
  std::erase_if(disks, [&](const auto& disk) {
    return disk->failed() || std::ranges::find(retired_, disk) != retired_.end();
  });
  // A label would call it a spare.
  for (Slot slot; slot < slots_end(); slot = slot.next())
    if (twins_[slot.value] && named_[slot.value].disk == twins_[slot.value]->label.disk)
      std::erase(disks, disks_[slot.value]);
  return disks;
}

Async<> Members::write_labels() {
  const auto lock = co_await label_mutex_.lock();
  // Too many are away at once: likely a cable, not the disks. Whoever comes back must find labels
  // that still count on it.
  if (whole_count() < geometry_.k) co_return too_few();
  const auto level = [&](const auto& disk) { return disk->label.pool_generation == generation_; };
  if (changed_ && !std::ranges::all_of(writable(), level)) {
    SQ_PROBE("a round of labels that a crash cut short was completed before the next one");
    co_await write_round();
  }
  if (std::exchange(changed_, false)) {
    ++generation_;
    named_ = table_;
  }
  co_await write_round();
  if (whole_count() < geometry_.k) co_return too_few();
  co_return Result<>();
}

// A disk that gets a slot has its own label before any other names it: one that says otherwise is
// of an earlier time.
Task<void> Members::write_round() {
  struct Writes {
    std::vector<MemberDiskPtr> disks;
    std::vector<format::Label> labels;
  } first, rest;
  while (lagging_labels_ > 0) co_await lagging_written_.wait();
  for (const auto& disk : writable()) {
    auto label = label_for(*disk);
    label.sequence = disk->label.sequence;
    const bool has_it =
        label == disk->label &&
        std::ranges::all_of(disk->label_copies, [&](auto copy) { return copy == label.sequence; });
    if (has_it) continue;
    label_bytes_ += kLabelCopies * format::kLabelBytes;
    const auto slot = slot_of(*disk);
    if (slot && aside(*slot)) {
      ++lagging_labels_;
      scope_.spawn(write_lagging_label(disk, std::move(label)));
      continue;
    }
    const bool gets_slot =
        label.role == format::DiskRole::kMember && disk->label.role != format::DiskRole::kMember;
    auto& writes = gets_slot ? first : rest;
    writes.disks.push_back(disk);
    writes.labels.push_back(std::move(label));
  }
  for (auto* writes : {&first, &rest})
    co_await pool::write_labels(loop_, std::move(writes->disks), std::move(writes->labels));
}

Task<void> Members::write_lagging_label(MemberDiskPtr disk, format::Label label) {
  co_await pool::write_labels(loop_, {std::move(disk)}, {std::move(label)});
  if (--lagging_labels_ == 0) lagging_written_.pulse();
}

Task<void> Members::probe() {
  std::vector<Async<>> probes;
  for (const auto slot : live_slots()) probes.push_back(probe_one(live(slot)));
  for (const auto& result : co_await run_all(loop_, std::move(probes)))
    ignore(result, "the disk has failed, and is announced");
}

Error Members::too_few() const {
  return {Code::kIo, "write labels: only " + std::to_string(whole_count()) +
                         " members are whole, k = " + std::to_string(geometry_.k) + " are needed"};
}

}  // namespace square::pool
