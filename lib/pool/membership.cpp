#include "pool/membership.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/layout.hpp"

namespace square::pool {
namespace {

using format::Label;
using format::SlotState;

format::CheckpointId newest_of(const Label& label) {
  return label.newest ? label.newest->id : format::CheckpointId{};
}

class Decision {
 public:
  Decision(CellId cell, NodeId node, std::span<const DiskReading> readings)
      : cell_(cell), node_(node), readings_(readings) {}

  Result<Membership> run() {
    out_.verdicts.resize(readings_.size());
    for (std::size_t i = 0; i < readings_.size(); ++i) judge_alone(i);
    refuse_doubled();
    refuse_other_pools();
    if (!authority_) return unavailable(0, 0);
    out_.geometry = geometry_of(*authority_);
    out_.pool = authority_->pool;
    out_.generation = authority_->pool_generation;
    out_.slots = authority_->slots;
    out_.reading_of_slot.resize(out_.slots.size());
    for (const auto i : candidates_) judge_in_pool(i);
    const auto whole = static_cast<std::size_t>(std::ranges::count_if(
        out_.verdicts, [](const auto& v) { return v.state == DiskState::kMember; }));
    if (whole < out_.geometry.k) return unavailable(whole, out_.geometry.k);
    return std::move(out_);
  }

 private:
  const Label& label(std::size_t i) const { return readings_[i].label.value(); }
  void refuse(std::size_t i, DiskState state, std::string why) {
    out_.verdicts[i].state = state;
    out_.verdicts[i].why = std::move(why);
  }

  void judge_alone(std::size_t i) {
    const auto& reading = readings_[i];
    if (reading.open_error) return refuse(i, DiskState::kMissing, reading.open_error->message);
    if (!reading.label.ok()) {
      const auto& error = reading.label.error();
      newer_format_ = newer_format_ || error.code == Code::kUnsupported;
      return refuse(i, error.code == Code::kIo ? DiskState::kFailed : DiskState::kForeign,
                    error.message);
    }
    if (label(i).cell != cell_)
      return refuse(i, DiskState::kForeign, "belongs to cell " + label(i).cell.to_string());
    if (label(i).node != node_)
      return refuse(i, DiskState::kForeign, "belongs to node " + label(i).node.to_string());
    candidates_.push_back(i);
  }

  // Which of two disks with one identity is the true one cannot be known: a person must say.
  void refuse_doubled() {
    std::map<DiskId, std::vector<std::size_t>> by_id;
    for (const auto i : candidates_) by_id[label(i).disk].push_back(i);
    for (const auto& [id, same] : by_id) {
      if (same.size() < 2) continue;
      SQ_PROBE("a cloned disk was refused");
      std::string paths;
      for (const auto i : same) paths += " " + readings_[i].path;
      for (const auto i : same)
        refuse(i, DiskState::kForeign,
               "cloned: disk " + id.to_string() + " is at" + paths + "; take all but one away");
      std::erase_if(candidates_, [&](auto i) { return label(i).disk == id; });
    }
  }

  void refuse_other_pools() {
    std::map<PoolId, std::size_t> count;
    for (const auto i : candidates_) ++count[label(i).pool];
    const auto most = std::ranges::max_element(
        count, {}, [](const auto& entry) { return std::pair(entry.second, entry.first); });
    if (most == count.end()) return;
    for (const auto i : candidates_) {
      if (label(i).pool != most->first)
        refuse(i, DiskState::kForeign, "belongs to pool " + label(i).pool.to_string());
      else if (!authority_ || rank(label(i)) > rank(*authority_))
        authority_ = &label(i);
    }
    std::erase_if(candidates_, [&](auto i) { return label(i).pool != most->first; });
    for (const auto i : candidates_) {
      note_checkpoints(label(i));
      out_.epoch = std::max(out_.epoch, label(i).epoch);
    }
  }

  static std::tuple<std::uint64_t, format::CheckpointId, std::uint64_t> rank(const Label& label) {
    return {label.pool_generation, newest_of(label), label.sequence};
  }

  void note_checkpoints(const Label& label) {
    if (!label.newest || label.newest->id <= newest_) return;
    newest_ = label.newest->id;
    before_newest_ = label.previous ? label.previous->id : format::CheckpointId{};
  }

  void judge_in_pool(std::size_t i) {
    const auto& mine = label(i);
    const auto entry = std::ranges::find(out_.slots, mine.disk, &format::SlotEntry::disk);
    if (geometry_of(mine) != out_.geometry)
      return refuse(i, DiskState::kForeign, "its geometry differs from the pool's");
    if (readings_[i].size_bytes < disk_bytes_needed(out_.geometry))
      return refuse(i, DiskState::kFailed, "smaller than its label says");
    if (entry == out_.slots.end()) return judge_outsider(i);
    const Slot slot(static_cast<std::uint16_t>(entry - out_.slots.begin()));
    out_.verdicts[i].slot = slot;
    if (entry->state == SlotState::kFailed)
      return refuse(i, DiskState::kFailed, "failed before; replace it, or wipe it and add it");
    if (entry->state == SlotState::kWhole && !SQ_PLANTED("stale_disk_accepted")) {
      auto why = staleness(mine);
      if (!why.empty()) {
        SQ_PROBE("a rolled-back disk was refused");
        return refuse(i, DiskState::kFailed, std::move(why));
      }
    }
    out_.reading_of_slot[slot.value] = i;
    out_.verdicts[i].state =
        entry->state == SlotState::kWhole ? DiskState::kMember : DiskState::kRebuilding;
  }

  void judge_outsider(std::size_t i) {
    if (label(i).role == format::DiskRole::kSpare) {
      out_.verdicts[i].state = DiskState::kSpare;
      return;
    }
    const auto slot = label(i).slot;
    out_.verdicts[i].slot = slot;
    refuse(i, DiskState::kForeign,
           "stale: replaced in slot " + std::to_string(slot.value) + " by disk " +
               out_.slots[slot.value].disk.to_string());
  }

  std::string staleness(const Label& mine) const {
    if (mine.role == format::DiskRole::kSpare)
      return "rolled back: its label is of before it had a slot";
    const auto newest = newest_of(mine);
    if (newest != newest_ && newest != before_newest_)
      return "rolled back or missed checkpoints: its newest is " + std::to_string(newest.number) +
             ", the pool's " + std::to_string(newest_.number);
    if (mine.pool_generation + 1 < out_.generation)
      return "rolled back or missed " + std::to_string(out_.generation - mine.pool_generation) +
             " changes of membership";
    return {};
  }

  Error unavailable(std::size_t whole, std::size_t needed) const {
    std::string message = needed == 0 ? std::string("no disk carries a label of this pool")
                                      : "only " + std::to_string(whole) + " members are good, " +
                                            std::to_string(needed) + " are needed";
    for (std::size_t i = 0; i < readings_.size(); ++i)
      if (!out_.verdicts[i].why.empty())
        message += "; " + readings_[i].path + ": " + out_.verdicts[i].why;
    for (std::size_t s = 0; s < out_.reading_of_slot.size(); ++s)
      if (!out_.reading_of_slot[s])
        message += "; slot " + std::to_string(s) + ": disk " + out_.slots[s].disk.to_string() +
                   " is not among them";
    return {newer_format_ ? Code::kUnsupported : Code::kUnavailable, std::move(message)};
  }

  CellId cell_;
  NodeId node_;
  std::span<const DiskReading> readings_;
  Membership out_;
  std::vector<std::size_t> candidates_;
  const Label* authority_ = nullptr;
  format::CheckpointId newest_, before_newest_;
  bool newer_format_ = false;
};

}  // namespace

Geometry geometry_of(const format::Label& label) {
  Geometry geometry;
  geometry.k = label.k;
  geometry.m = label.m;
  geometry.chunk_bytes = label.chunk_bytes;
  geometry.chunks = label.chunks;
  geometry.journal_bytes = label.journal_bytes;
  return geometry;
}

Result<Membership> decide_membership(CellId cell, NodeId node,
                                     std::span<const DiskReading> readings) {
  return Decision(cell, node, readings).run();
}

}  // namespace square::pool
