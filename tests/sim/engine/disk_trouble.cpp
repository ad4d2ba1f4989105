#include "sim/engine/disk_trouble.hpp"

#include <algorithm>
#include <set>

namespace square::sim {

namespace {

constexpr auto kHealLimit = std::chrono::hours(1);
constexpr auto kThinLimit = std::chrono::minutes(2);
constexpr std::uint32_t kLiePpm = 30'000;  // of the calls of a disk that lies

}  // namespace

DiskTrouble::DiskTrouble(SimWorld& world, EngineNode& node, std::uint64_t seed, Trace trace)
    : world_(world),
      node_(node),
      rng_(seed),
      trace_(std::move(trace)),
      damaged_(node.paths().size()) {}

bool DiskTrouble::any() const { return std::ranges::find(damaged_, true) != damaged_.end(); }

std::size_t DiskTrouble::budget() const {
  const auto hurt = static_cast<std::size_t>(std::ranges::count(damaged_, true));
  return node_.shape().m - std::min<std::size_t>(hurt, node_.shape().m);
}

// A disk that may be damaged (further).
std::optional<std::size_t> DiskTrouble::victim() {
  const auto disk = rng_.below(damaged_.size());
  if (!damaged_[disk] && budget() == 0) return std::nullopt;
  return disk;
}

void DiskTrouble::say(std::size_t disk, const std::string& what) {
  trace_("disk " + std::to_string(disk) + " " + what);
  damaged_[disk] = true;
  note_retirement();
  ++strikes_;
}

void DiskTrouble::strike() {
  const auto chosen = victim();
  if (!chosen) return;
  auto& medium = node_.medium(*chosen);
  const auto sticky = rng_.below(2) == 0;
  const auto arm = [&](DiskFault fault, std::uint64_t calls) {
    medium.plan().arm({fault, 1 + rng_.below(calls), kAnyOp, false});
    say(*chosen, std::string(disk_fault_name(fault)) + " ordered");
  };
  const auto lie = [&](DiskFault fault, std::uint32_t FaultRates::* rate) {
    FaultRates rates;
    rates.*rate = kLiePpm;
    medium.set_rates(rates);
    arm(fault, 20);
  };
  switch (rng_.below(13)) {
    case 0: medium.set_vanished(true); return say(*chosen, "vanishes");
    case 1:
      medium.plan().arm({DiskFault::kIoError, 1 + rng_.below(50), kAnyOp, sticky});
      return say(*chosen, "fails a request");
    case 2: medium.rot(rng_.next(), 1 + rng_.below(200)); return say(*chosen, "rots");
    case 3: return lie(DiskFault::kLostWrite, &FaultRates::lost_write);
    case 4: return lie(DiskFault::kMisdirectedWrite, &FaultRates::misdirected_write);
    case 5: return lie(DiskFault::kMisdirectedRead, &FaultRates::misdirected_read);
    case 6: return lie(DiskFault::kStaleRead, &FaultRates::stale_read);
    case 7: medium.set_lying_flush(true); return say(*chosen, "drops its flushes");
    case 8: return arm(DiskFault::kHung, 40);
    case 9: medium.set_slow(true); return say(*chosen, "is slow");
    case 10:
      if (sticky) return arm(DiskFault::kVanished, 40);
      medium.set_hung(true);
      return say(*chosen, "hangs");
    case 11: medium.set_full(true); return say(*chosen, "is full");
    default: medium.set_read_only(true); return say(*chosen, "is read-only");
  }
}

void DiskTrouble::retire() {
  auto& pool = node_.engine()->pool();
  const Slot slot(static_cast<std::uint16_t>(rng_.below(node_.shape().k + node_.shape().m)));
  const auto begun = pool.retire_disk(slot);
  trace_("slot " + std::to_string(slot.value) +
         " is retired: " + (begun.ok() ? std::string("begun") : begun.error().message));
  note_retirement();
}

void DiskTrouble::note_retirement() {
  if (node_.engine() == nullptr) return;
  auto& pool = node_.engine()->pool();
  const auto retirement = pool.status().retirement;
  if (!retirement.pass.active) return;
  std::optional<std::size_t> from, to;
  for (const auto& disk : pool.disks()) {
    const auto path = std::ranges::find(node_.paths(), disk.path);
    if (path == node_.paths().end()) continue;
    const auto index = static_cast<std::size_t>(path - node_.paths().begin());
    if (disk.id == retirement.from) from = index;
    if (disk.id == retirement.to) to = index;
  }
  if (from && to && damaged_[*from]) damaged_[*to] = true;
}

void DiskTrouble::take_image() {
  if (image_ && rng_.below(4) != 0) return;  // old ones are worth more
  const auto disk = rng_.below(damaged_.size());
  image_ = Image{disk, &node_.medium(disk), node_.medium(disk).snapshot()};
}

void DiskTrouble::strike_while_down() {
  auto& disks = node_.process().disks();
  switch (rng_.below(5)) {
    case 0:
    case 4: {
      if (!image_ || (!damaged_[image_->disk] && budget() == 0)) return;
      auto& medium = node_.medium(image_->disk);
      if (&medium != image_->medium || medium.vanished()) return;
      medium.roll_back(image_->content);
      return say(image_->disk, "is rolled back");
    }
    case 1: {
      const auto chosen = victim();
      if (!chosen || foreign_writes_ || node_.medium(*chosen).vanished()) return;
      if (disks.has(EngineNode::extra_path())) return;
      disks.attach(EngineNode::extra_path(), node_.medium(*chosen).clone());
      return say(*chosen, "has a clone");
    }
    case 2:
      if (!disks.has(EngineNode::extra_path())) appear_foreign();
      return;
    default:
      for (std::size_t i = 0; i < damaged_.size(); ++i) {
        if (!node_.medium(i).vanished()) continue;
        node_.medium(i).set_vanished(false);
        return say(i, "is there again");
      }
  }
}

// A disk with the label of another cell: it must be left as it is.
void DiskTrouble::appear_foreign() {
  auto& process = node_.process();
  const auto& shape = node_.shape();
  auto& medium = process.disks().add(EngineNode::extra_path(), shape.disk_bytes);
  pool::FormatOptions options;
  options.cell.uuid.bytes.fill(0xEE);
  options.node.uuid.bytes.fill(0xEF);
  options.paths = {EngineNode::extra_path()};
  options.k = 1;
  options.m = 0;
  options.chunk_bytes = shape.chunk_bytes;
  options.journal_bytes = shape.journal_bytes;
  if (!process.run(pool::Pool::format(process.env(), options)).ok())
    medium.spoil(0, kBlockBytes, rng_.next());  // a disk of nobody's will do
  medium.count(DiskFault::kForeign);
  foreign_writes_ = medium.writes();
  trace_("a foreign disk appears");
  ++strikes_;
}

// Nothing, or that the engine wrote on a disk that is not its own.
std::optional<std::string> DiskTrouble::extra_gone() {
  auto& disks = node_.process().disks();
  if (!disks.has(EngineNode::extra_path())) return std::nullopt;
  const auto writes = disks.at(EngineNode::extra_path()).writes();
  disks.detach(EngineNode::extra_path());
  const auto before = std::exchange(foreign_writes_, std::nullopt);
  if (before && *before != writes) return "a foreign disk was written";
  return std::nullopt;
}

void DiskTrouble::end_misbehaviour() {
  for (std::size_t i = 0; i < damaged_.size(); ++i) {
    if (!damaged_[i]) continue;
    auto& medium = node_.medium(i);
    medium.plan().disarm();
    medium.set_rates({});
    medium.set_hung(false);
    medium.set_slow(false);
    medium.set_full(false);
    medium.set_read_only(false);
    medium.set_lying_flush(false);
  }
}

bool DiskTrouble::whole() const {
  const auto status = node_.engine()->pool().status();
  return status.members_missing == 0 && !status.rebuild.active && !status.retirement.pass.active;
}

// Every path without a disk that the pool uses gets one: a new one, or its own after a wipe.
std::optional<std::string> DiskTrouble::replace_lost() {
  auto& process = node_.process();
  auto& pool = node_.engine()->pool();
  std::set<std::string> used;
  for (const auto& disk : pool.disks())
    if (disk.state == pool::DiskState::kMember || disk.state == pool::DiskState::kSpare ||
        disk.state == pool::DiskState::kRebuilding)
      used.insert(disk.path);
  for (std::size_t i = 0; i < damaged_.size(); ++i) {
    const auto& path = node_.paths()[i];
    if (used.contains(path)) continue;
    auto& old = node_.medium(i);
    if (old.vanished() && rng_.below(2) == 0) {
      old.set_vanished(false);
      const auto wiped = process.run(pool::Pool::wipe_disk(process.env(), path));
      if (!wiped.ok()) return "wipe of a disk that came back: " + wiped.error().message;
      trace_("disk " + std::to_string(i) + " is wiped and added");
    } else {
      process.disks().add(path, node_.shape().disk_bytes);
      trace_("disk " + std::to_string(i) + " is replaced");
    }
    const auto added = process.run(pool.add_disk(path));
    if (!added.ok()) return "add a disk: " + added.error().message;
  }
  return std::nullopt;
}

std::optional<std::string> DiskTrouble::heal() {
  auto& pool = node_.engine()->pool();
  end_misbehaviour();
  if (auto wrong = extra_gone()) return wrong;
  world_.run_for(std::chrono::seconds(3));  // the reconcile loop sees what is gone
  if (auto wrong = replace_lost()) return wrong;
  world_.run_for(std::chrono::seconds(3));
  if (!world_.run_until([&] { return whole(); }, kHealLimit))
    return "the pool did not become whole within an hour, with spares enough";
  // What was written while members were away may have less parity, and is moved as soon as there is
  // room.
  if (!world_.run_until([&] { return pool.status().segments_thin == 0; }, kThinLimit)) {
    trace_("there is no room for what has little parity");
    return std::nullopt;
  }
  // What the journal and the labels still have in bad copies is not needed any more after it.
  const auto kept = node_.process().run(node_.engine()->checkpoint());
  if (kept.failed_with(Code::kNoSpace)) return std::nullopt;
  if (!kept.ok()) return "checkpoint: " + kept.error().message;
  if (auto started = pool.start_scrub(); !started.ok()) return "scrub: " + started.error().message;
  if (!world_.run_until([&] { return !pool.status().scrub.active; }, kHealLimit))
    return "the scrub came to no end within an hour";
  if (const auto lost = pool.status().scrub.stripes_lost; lost != 0)
    return "a scrub lost " + std::to_string(lost) + " stripes";
  if (!whole()) return std::nullopt;  // a disk could not be mended: it goes on
  damaged_.assign(damaged_.size(), false);
  trace_("healed");
  ++heals_;
  return std::nullopt;
}

}  // namespace square::sim
