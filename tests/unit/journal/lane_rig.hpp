#pragma once
// A lane on simulated disks beside a plain model of it: the list of records that were handed in.
// After every recovery the lane must hold, from the tail on and byte for byte, every record that
// was reported durable, and beyond them a run of records as they were handed in one after another.
// (Until a record of the new term is durable, nothing was shown to anybody: so a recovery after
// that may still choose another such run.)

#include <catch2/catch.hpp>

#include <map>

#include "journal/lane.hpp"
#include "sim/env/sim_process.hpp"

namespace square::journal {

class RigDisks final : public JournalDisks {
 public:
  RigDisks(sim::SimProcess& node, std::size_t count) : node_(node), disks_(count) {}

  // Opens what is not open and not gone. False after a crash.
  bool open();
  bool open_slot(std::size_t slot);
  bool is_open(std::size_t slot) const { return disks_[slot] && !disks_[slot]->failed(); }
  void close(std::size_t slot) { disks_[slot].reset(); }

  std::vector<Slot> live_slots() const override;
  Async<> write(Slot slot, std::uint64_t journal_offset, BufferChain chain) override;
  Async<> read(Slot slot, std::uint64_t journal_offset, Buffer into) override;
  Async<> flush(Slot slot) override;

  Lane* lane = nullptr;

 private:
  Result<> note(Slot slot, env::Disk* disk, Result<> result);

  sim::SimProcess& node_;
  std::vector<std::unique_ptr<env::Disk>> disks_;
};

struct RigOptions {
  std::uint64_t seed = 1;
  std::size_t disks = 4;
  std::uint8_t copies = 3;
  std::uint64_t ring_bytes = 128u << 10;
  std::uint32_t batches_in_flight_max = 4;
};

class Rig {
 public:
  explicit Rig(RigOptions options);
  ~Rig();

  struct Entry {
    std::uint64_t id = 0;
    std::uint64_t before = 0;  // id of the one handed in before it, in its run or recovered
    std::uint64_t size = 0;
    LanePosition end;  // of its batch, once durable
  };

  // ---- life
  // recover, restore_copies and start; false when the process crashed meanwhile, or on a problem.
  // The process is restarted first if it is down.
  bool recover();
  // Without the checks and without a start: what recover() says.
  std::optional<Result<RecoveredLane>> recover_only();
  void drop();  // the process's objects go
  void crash(sim::CrashKind kind);
  bool stop();  // in order; false when it crashed
  bool running() const { return node.running() && serving; }

  // ---- work
  void append(std::uint64_t size, Reserve reserve = Reserve::kOrdinary);
  // True when all appends so far have been acknowledged; false after a crash or halt.
  bool settle();
  // The same, giving up all that is durable as often as that makes room.
  bool settle_forgetting();
  // Everything up to entry `index` of the log is not needed any more.
  void forget_up_to(std::size_t index);
  void checkpoint();

  // ---- the model
  std::vector<Entry> log;
  std::size_t acked = 0;    // entries acknowledged
  std::size_t durable = 0;  // entries reported by on_durable in this run
  std::size_t first_needed = 0;
  std::size_t failed_appends = 0;
  std::size_t restore_errors = 0;
  LanePoint checkpoint_tail;
  RecoveredLane recovered;  // of the last recover()

  RigOptions options;
  LaneConfig config;
  sim::SimWorld world;
  sim::SimProcess& node;
  std::vector<sim::SimMedium*> media;
  std::unique_ptr<RigDisks> disks;
  std::unique_ptr<Lane> lane;
  std::unique_ptr<env::Scope> clients;
  bool serving = false;
  std::uint32_t epoch = 0;
  std::string problem;  // the first broken promise

 private:
  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
  Task<void> wait_append(Async<LanePosition> append, std::uint64_t id);
  void on_durable(const DurableRecord& record);
  void check_recovered();

  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Entry> known_;
};

Buffer rig_record(std::uint64_t id, std::uint64_t size);

inline bool RigDisks::open() {
  for (std::size_t slot = 0; slot < disks_.size(); ++slot)
    if (!open_slot(slot)) return false;
  return true;
}

inline bool RigDisks::open_slot(std::size_t slot) {
  if (is_open(slot)) return true;
  disks_[slot].reset();
  const auto path = "/disk" + std::to_string(slot);
  if (node_.disks().at(path).vanished()) return true;
  auto opened = node_.run_or_crash(node_.disks().open(path, {}));
  if (!opened) return false;
  if (opened->ok()) disks_[slot] = std::move(*opened).value();
  return true;
}

inline std::vector<Slot> RigDisks::live_slots() const {
  std::vector<Slot> slots;
  for (std::size_t slot = 0; slot < disks_.size(); ++slot)
    if (is_open(slot)) slots.push_back(Slot(static_cast<std::uint16_t>(slot)));
  return slots;
}

inline Result<> RigDisks::note(Slot slot, env::Disk* disk, Result<> result) {
  if (!result.ok() && disks_[slot.value].get() == disk && !disk->failed()) {
    disk->fail("failed a request");
    if (lane != nullptr) lane->slot_lost(slot);
  }
  return result;
}

inline Async<> RigDisks::write(Slot slot, std::uint64_t journal_offset, BufferChain chain) {
  auto* const disk = disks_[slot.value].get();
  if (disk == nullptr) co_return Error{Code::kIo, "gone"};
  auto result = co_await disk->write(journal_offset, std::move(chain));
  co_return note(slot, disk, std::move(result));
}

inline Async<> RigDisks::read(Slot slot, std::uint64_t journal_offset, Buffer into) {
  auto* const disk = disks_[slot.value].get();
  if (disk == nullptr) co_return Error{Code::kIo, "gone"};
  auto result = co_await disk->read(journal_offset, std::move(into));
  co_return std::move(result);
}

inline Async<> RigDisks::flush(Slot slot) {
  auto* const disk = disks_[slot.value].get();
  if (disk == nullptr) co_return Error{Code::kIo, "gone"};
  auto result = co_await disk->flush();
  co_return note(slot, disk, std::move(result));
}

inline Buffer rig_record(std::uint64_t id, std::uint64_t size) {
  auto bytes = Buffer::allocate(std::max<std::uint64_t>(size, 8));
  for (std::size_t i = 8; i < bytes.size(); ++i)
    bytes.data()[i] = static_cast<std::byte>(id * 37 + i * (1 + id % 5));
  std::memcpy(bytes.data(), &id, 8);
  return bytes;
}

inline std::uint64_t id_of(const Buffer& record) {
  std::uint64_t id = 0;
  if (record.size() >= 8) std::memcpy(&id, record.data(), 8);
  return id;
}

inline Rig::Rig(RigOptions given)
    : options(given), world(given.seed), node(world.add_process("n")) {
  config.pool.uuid.bytes[0] = 7;
  config.lane = 3;
  config.ring_offset = 64u << 10;
  config.ring_bytes = given.ring_bytes;
  config.copies = given.copies;
  config.batch_bytes_max = 32u << 10;
  config.batches_in_flight_max = given.batches_in_flight_max;
  for (std::size_t i = 0; i < given.disks; ++i)
    media.push_back(
        &node.disks().add("/disk" + std::to_string(i), 2 * given.ring_bytes + (1u << 20)));
  node.disks().set_strict_overlap(true);
}

inline Rig::~Rig() {
  if (node.running()) node.crash(sim::CrashKind::kKill);
  drop();
}

inline void Rig::drop() {
  clients.reset();
  lane.reset();
  disks.reset();
  serving = false;
}

inline void Rig::crash(sim::CrashKind kind) {
  if (node.running()) node.crash(kind);
  drop();
}

inline std::optional<Result<RecoveredLane>> Rig::recover_only() {
  drop();
  if (!node.running()) node.restart();
  disks = std::make_unique<RigDisks>(node, options.disks);
  if (!disks->open()) return std::nullopt;
  lane = std::make_unique<Lane>(node.env(), *disks, config);
  disks->lane = lane.get();
  clients = std::make_unique<env::Scope>(node.loop());
  return node.run_or_crash(lane->recover(checkpoint_tail));
}

inline bool Rig::recover() {
  auto found = recover_only();
  if (!found) return false;
  if (!found->ok()) {
    fail("recover: " + found->error().message);
    return false;
  }
  recovered = std::move(*found).value();
  check_recovered();
  auto restored = node.run_or_crash(lane->restore_copies());
  if (!restored) return false;
  if (!problem.empty()) return false;
  if (!restored->ok()) {
    // The last copy of a batch went with its disk after it was read: a durable one has others.
    if (++restore_errors > 20) fail("restore: " + restored->error().message);
    return false;
  }
  epoch = std::max(epoch, recovered.highest_epoch.number) + 1;
  lane->start({epoch, world.rng().next()}, [this](const DurableRecord& r) { on_durable(r); });
  serving = true;
  return true;
}

inline void Rig::check_recovered() {
  const auto& records = recovered.records;
  std::vector<Entry> found;
  for (const auto& record : records) {
    const auto known = known_.find(id_of(record.bytes));
    if (known == known_.end()) return fail("a record that was never handed in");
    auto entry = known->second;
    if (as_text(rig_record(entry.id, entry.size).bytes()) != as_text(record.bytes.bytes()))
      return fail("record " + std::to_string(entry.id) + " changed");
    if (!found.empty() && entry.before != found.back().id)
      return fail("record " + std::to_string(entry.id) + " does not follow the one before it");
    entry.end = record.end;
    found.push_back(entry);
  }
  std::size_t first = first_needed;
  if (!found.empty()) {
    first = 0;
    while (first < log.size() && first < first_needed && log[first].id != found[0].id) ++first;
    const auto before = first == 0 ? 0 : log[first - 1].id;
    if (found[0].before != before) return fail("a needed record lies below the tail");
  }
  if (first + found.size() < durable) return fail("a durable record is lost");
  for (auto i = first; i < durable; ++i)
    if (found[i - first].id != log[i].id) return fail("a durable record was replaced");
  log.resize(first);
  log.insert(log.end(), found.begin(), found.end());
  acked = durable = log.size();
}

inline bool Rig::stop() {
  const bool stopped = node.run_or_crash(lane->stop());
  if (stopped)
    node.run_or_crash([](env::Scope& scope) -> Task<void> { co_await scope.join(); }(*clients));
  if (!node.running()) return false;
  drop();
  return true;
}

inline void Rig::append(std::uint64_t size, Reserve reserve) {
  Entry entry{next_id_++, log.empty() ? 0 : log.back().id, size, {}};
  known_[entry.id] = entry;
  log.push_back(entry);
  clients->spawn(wait_append(lane->append({rig_record(entry.id, size)}, reserve), entry.id));
}

inline Task<void> Rig::wait_append(Async<LanePosition> append, std::uint64_t id) {
  const auto done = co_await append;
  if (!done.ok()) {
    ++failed_appends;
    co_return;
  }
  if (acked >= log.size() || log[acked].id != id) fail("acknowledged out of order");
  if (acked >= durable) fail("acknowledged before it was reported durable");
  ++acked;
}

inline void Rig::on_durable(const DurableRecord& record) {
  if (durable >= log.size() || log[durable].id != id_of(record.bytes))
    return fail("reported durable out of order");
  log[durable].end = record.end;
  ++durable;
}

inline bool Rig::settle() {
  const auto failed_before = failed_appends;
  world.run_until(
      [&] { return !node.running() || acked == log.size() || failed_appends != failed_before; });
  return node.running() && acked == log.size();
}

inline bool Rig::settle_forgetting() {
  while (node.running() && acked < log.size()) {
    const auto before = acked;
    if (durable > 0) forget_up_to(durable - 1);
    world.run_for(std::chrono::seconds(1));
    if (acked == before) return false;
  }
  return node.running();
}

inline void Rig::forget_up_to(std::size_t index) {
  const auto tail = log[index].end;
  lane->set_tail(tail);
  while (first_needed < durable && log[first_needed].end <= tail) ++first_needed;
}

inline void Rig::checkpoint() {
  checkpoint_tail = lane->tail_point();
  lane->tail_is_in_checkpoint(checkpoint_tail.position);
}

}  // namespace square::journal
