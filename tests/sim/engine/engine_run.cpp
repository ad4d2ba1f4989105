#include "sim/engine/engine_run.hpp"

#include <algorithm>
#include <cstdio>

namespace square::sim {

namespace {

constexpr std::uint64_t kSectorsOfBlock = kBlockBytes / kSectorBytes;
constexpr int kRecoveryCrashesMax = 3;
constexpr std::uint64_t kRocksEvery = 20;
constexpr std::uint64_t kVolumeBytesMax = 6u << 20;
constexpr std::size_t kVolumesMax = 6;  // deleted ones too: their space does not come back yet

NodeShape draw_shape(std::uint64_t seed, Rng& rng) {
  NodeShape shape;
  switch (rng.below(4)) {
    case 0: shape.k = 8, shape.m = 2, shape.spares = 2; break;
    case 1: shape.k = 4, shape.m = 1, shape.spares = 0; break;
    case 2: shape.k = 2, shape.m = 2, shape.spares = 1; break;
    default: shape.k = 10, shape.m = 3, shape.spares = 0; break;
  }
  shape.groups = 1 + static_cast<std::uint32_t>(rng.below(3));
  shape.direct_bytes_min = (rng.below(2) ? 64u : 256u) << 10;
  // Small rings lap often; small pools get full.
  if (rng.below(2) == 0) {
    shape.disk_bytes -= 3u << 20;
    shape.journal_bytes = 5u << 20;
  }
  if (rng.below(4) == 0) shape.disk_bytes -= 7u << 20;
  constexpr int kIntervalsMs[] = {20, 200, 5000};
  shape.checkpoint_interval = std::chrono::milliseconds(kIntervalsMs[rng.below(3)]);
  shape.rocks = seed % kRocksEvery == 0;
  return shape;
}

}  // namespace

EngineRun::EngineRun(RunOptions options)
    : options_(options),
      world_(options.seed),
      rng_(options.seed * 31 + 7),
      shape_(draw_shape(options.seed, rng_)),
      node_(world_, shape_),
      trouble_(world_, node_, options.seed * 17 + 3, [this](const auto& what) { trace(what); }) {
  node_.process().disks().set_timing(chance(50) ? DiskTiming::instant() : DiskTiming{});
  report_.rocks = shape_.rocks;
}

void EngineRun::trace(const std::string& what) {
  if (options_.trace)
    std::fprintf(stderr, "%10.6f %s\n", static_cast<double>(world_.now_ns()) / 1e9, what.c_str());
}

void EngineRun::violation(std::string what) {
  trace("VIOLATION " + what);
  if (!report_.violation) report_.violation = std::move(what);
}

bool EngineRun::begin() {
  if (auto made = node_.format(); !made.ok()) {
    violation("format: " + made.error().message);
    return false;
  }
  recover();
  if (failed()) return false;
  const auto count = 2 + dice(3);
  for (std::uint64_t i = 0; i < count && !failed(); ++i) create_volume("v" + std::to_string(i));
  return !failed();
}

void EngineRun::create_volume(const std::string& name) {
  store::CreateVolume request;
  request.name = name;
  request.size_bytes = (1 + dice(3)) << 20;
  request.extent_bytes = 4096u << dice(6);  // up to 128 KiB
  request.group = GroupId(1 + static_cast<std::uint32_t>(dice(shape_.groups)));
  const auto made = node_.process().run(node_.engine()->create_volume(request));
  if (!made.ok()) return violation("create volume: " + made.error().message);
  volumes_.push_back(
      {request.name, made->id, VolumeModel(request.size_bytes / kSectorBytes), false});
}

store::RequestId EngineRun::next_request() {
  if (session_ == SessionId{} || chance(30)) return {};
  return {session_, RequestNumber(next_number_++)};
}

// One that is not deleted: there always is one.
std::size_t EngineRun::pick_volume() {
  for (;;) {
    const auto at = dice(volumes_.size());
    if (!volumes_[at].deleted) return at;
  }
}

EngineRun::Write EngineRun::draw_write() {
  Write write;
  write.volume = pick_volume();
  const auto sectors = volumes_[write.volume].model.sectors();
  const auto kind = dice(100);
  if (kind < 55) {  // whole blocks
    write.count = kSectorsOfBlock * (1 + dice(kind < 40 ? 4 : 64));
    write.first = dice(sectors / kSectorsOfBlock) * kSectorsOfBlock;
  } else if (kind < 80) {  // any sectors
    write.count = 1 + dice(20);
    write.first = dice(sectors);
  } else {  // large
    write.count = kSectorsOfBlock * (32 + dice(225));
    write.first = dice(sectors / kSectorsOfBlock) * kSectorsOfBlock;
  }
  write.count = std::min(write.count, sectors - write.first);
  if (!chance(12)) {
    write.token = next_token_;
    next_token_ += write.count;
  }
  write.request = next_request();
  return write;
}

Async<> EngineRun::carry_out(Write write) {
  const auto id = volumes_[write.volume].id;
  const auto offset = write.first * kSectorBytes;
  const auto length = write.count * kSectorBytes;
  if (write.token == 0) return node_.engine()->zero(id, offset, length, write.request);
  auto sent = client_data(write.first, write.count, write.token);
  return node_.engine()->write(id, offset, std::move(sent.data), std::move(sent.ingest),
                               write.request);
}

void EngineRun::settle(const Write& write, const Result<>& result) {
  using Outcome = VolumeModel::Outcome;
  auto& model = volumes_[write.volume].model;
  trace(std::to_string(write.began) + "] " +
        (result.ok() ? std::string("ok") : result.error().message));
  auto outcome = Outcome::kDone;
  if (result.ok()) {
    ++report_.acknowledged;
  } else if (result.code() == Code::kNoSpace) {
    ++report_.refused_full;
    // Zeroing may have done its edges before it was refused.
    outcome = write.token == 0 ? Outcome::kUnknown : Outcome::kNotDone;
  } else if (result.code() == Code::kOutcomeUnknown && write.token == 0) {
    outcome = Outcome::kUnknown;  // a part was zeroed before another was refused
  } else if (result.code() == Code::kOutcomeUnknown && !node_.process().running()) {
    outcome = Outcome::kUnknown;
  } else {
    violation("write refused: " + result.error().message);
    outcome = Outcome::kUnknown;
  }
  model.end(write.first, write.count, write.token, write.began, tick(), outcome);
}

Task<void> EngineRun::write_once() {
  auto write = draw_write();
  write.began = tick();
  volumes_[write.volume].model.begin(write.first, write.count, write.token, write.began);
  in_flight_.push_back(write);
  trace("[" + std::to_string(write.began) + " " + volumes_[write.volume].name + " " +
        std::to_string(write.first) + "+" + std::to_string(write.count) + " token " +
        std::to_string(write.token) + " request " + std::to_string(write.request.number.value));
  const auto result = co_await carry_out(write);
  std::erase_if(in_flight_, [&](const Write& other) { return other.began == write.began; });
  settle(write, result);
}

Task<void> EngineRun::read_once(std::size_t volume, std::uint64_t first, std::uint64_t count) {
  const auto began = tick();
  volumes_[volume].model.begin_read(began);
  const auto reply = co_await node_.engine()->read(
      volumes_[volume].id, first * kSectorBytes, static_cast<std::uint32_t>(count * kSectorBytes));
  if (!reply.ok()) {
    volumes_[volume].model.end_read(began);
    violation("read of " + volumes_[volume].name + ": " + reply.error().message);
    co_return;
  }
  if (auto wrong = volumes_[volume].model.check(first, reply->data.bytes(), began, tick()))
    violation("read of " + volumes_[volume].name + ": " + *wrong);
}

// Block status must not call anything a hole that may hold data.
Task<void> EngineRun::status_once() {
  const auto volume = pick_volume();
  const auto began = tick();
  const auto size = volumes_[volume].model.sectors() * kSectorBytes;
  volumes_[volume].model.begin_read(began);
  const auto extents = co_await node_.engine()->block_status(volumes_[volume].id, 0, size, 4096);
  if (!extents.ok()) {
    volumes_[volume].model.end_read(began);
    violation("block status: " + extents.error().message);
    co_return;
  }
  ByteVector zeros(kSectorBytes);
  for (const auto& extent : *extents) {
    if (!extent.hole || extent.length == 0) continue;
    const auto middle = (extent.offset + extent.length / 2) / kSectorBytes;
    if (auto wrong = volumes_[volume].model.check(middle, zeros, began, tick()))
      violation("block status calls data a hole: " + *wrong);
    volumes_[volume].model.begin_read(began);
  }
  volumes_[volume].model.end_read(began);
}

Task<void> EngineRun::client(std::uint64_t operations) {
  for (std::uint64_t i = 0; i < operations && !failed(); ++i) {
    ++report_.operations;
    const auto kind = dice(100);
    if (kind < 65) {
      co_await write_once();
    } else if (kind < 97) {
      const auto volume = pick_volume();
      const auto sectors = volumes_[volume].model.sectors();
      const auto first = dice(sectors);
      co_await read_once(volume, first, 1 + dice(std::min<std::uint64_t>(sectors - first, 256)));
    } else {
      co_await status_once();
    }
  }
}

// Which of its flushed states the index has after a crash: mostly all, sometimes none.
std::size_t EngineRun::surviving_states() {
  const auto states = node_.index_states();
  const auto kind = dice(100);
  if (kind < 60) return states;
  if (kind < 75) return 0;
  return dice(states + 1);
}

void EngineRun::recover() {
  for (int attempt = 0; !failed(); ++attempt) {
    auto& plan = node_.process().disks().plan();
    plan.disarm();
    if (attempt < kRecoveryCrashesMax && report_.crashes > 0 && chance(25))
      plan.arm({chance(60) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(120), kAnyOp, false});
    trace("start");
    const auto started = node_.start();
    trace("started");
    plan.disarm();
    if (!started) {
      ++report_.recovery_crashes;
      trace("crash inside recovery");
      node_.crash(CrashKind::kKill, surviving_states());
      continue;
    }
    ++report_.restarts;
    if (!started->ok()) violation("start: " + started->error().message);
    return;
  }
}

void EngineRun::crash_and_recover() {
  ++report_.crashes;
  note_engine_stats();
  clients_.reset();
  const auto kind = chance(70) ? CrashKind::kPowerLoss : CrashKind::kKill;
  trace(kind == CrashKind::kPowerLoss ? "crash: power" : "crash: kill");
  if (node_.process().running()) node_.process().crash(kind);
  for (auto& volume : volumes_) volume.model.crashed(tick());
  report_.unknown += in_flight_.size();
  unknown_.insert(unknown_.end(), in_flight_.begin(), in_flight_.end());
  in_flight_.clear();
  node_.crash(kind, surviving_states());
  if (chance(30)) trouble_.strike_while_down();
  recover();
  if (!failed()) retry_unknown();
}

// Stopped in good order, and started again.
void EngineRun::restart() {
  note_engine_stats();
  node_.stop();
  if (chance(30)) trouble_.strike_while_down();
  recover();
}

// The same request again, as a client library would: done once, whatever happened.
void EngineRun::retry_unknown() {
  for (auto& write : std::exchange(unknown_, {})) {
    if (write.request.session == SessionId{} || volumes_[write.volume].deleted) continue;
    ++report_.retries;
    const auto result = node_.process().run(carry_out(write));
    trace("retried " + std::to_string(write.began) + ": " +
          (result.ok() ? std::string("ok") : result.error().message));
    if (result.ok())
      volumes_[write.volume].model.end(write.first, write.count, write.token, write.began, tick(),
                                       VolumeModel::Outcome::kDone);
    else if (result.code() != Code::kOutcomeUnknown && result.code() != Code::kNoSpace)
      violation("retry: " + result.error().message);
  }
}

void EngineRun::note_engine_stats() {
  if (node_.engine() == nullptr) return;
  const auto stats = node_.engine()->stats();
  report_.destages += stats.destages;
  report_.checkpoints += stats.checkpoints;
  report_.direct_writes += stats.direct_writes;
  report_.moved_bytes += stats.moved_bytes;
  report_.rebuilt_bytes += stats.pool.written_rebuild_bytes;
}

// The clients' turn: to its end, or to the crash that may be armed.
void EngineRun::run_clients(std::uint64_t clients, std::uint64_t operations) {
  auto& process = node_.process();
  clients_ = std::make_unique<env::Scope>(process.loop());
  for (std::uint64_t i = 0; i < clients; ++i) clients_->spawn(client(1 + dice(operations)));
  const bool ended = world_.run_until([&] { return !process.running() || clients_->size() == 0; },
                                      std::chrono::hours(1));
  process.disks().plan().disarm();
  if (!ended) return violation("the clients came to no end within an hour");
  if (process.running()) clients_.reset();
}

void EngineRun::round() {
  auto& process = node_.process();
  if (session_ == SessionId{} && chance(50)) {
    const auto opened = process.run(node_.engine()->open_session());
    if (!opened.ok()) return violation("open session: " + opened.error().message);
    session_ = *opened;
  }
  if (chance(45))
    process.disks().plan().arm(
        {chance(70) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(3000), kAnyOp, false});
  if (chance(15)) trouble_.retire();
  run_clients(1 + dice(12), 30);
  if (failed()) return;
  if (!process.running() || chance(10)) {
    crash_and_recover();
    while (!failed() && chance(35)) short_term();
    return;
  }
  quiet();
}

// A crash loop: a term that ends before it has done much, and before its first checkpoint.
void EngineRun::short_term() {
  node_.process().disks().plan().arm(
      {chance(70) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(150), kAnyOp, false});
  run_clients(1 + dice(4), 8);
  if (!failed()) crash_and_recover();
}

// Between the flush of the index and the labels that name the checkpoint, or anywhere near.
void EngineRun::checkpoint_and_crash() {
  node_.process().disks().plan().arm(
      {chance(70) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(150), kAnyOp, false});
  const auto done = node_.process().run_or_crash(node_.engine()->checkpoint());
  node_.process().disks().plan().disarm();
  if (done && !done->ok() && done->code() != Code::kNoSpace)
    return violation("checkpoint: " + done->error().message);
  if (done) return;
  crash_and_recover();
  while (!failed() && chance(50)) short_term();
}

void EngineRun::take_snapshot() {
  const auto volume = pick_volume();
  const auto made = node_.process().run(
      node_.engine()->create_snapshot({volumes_[volume].name}, "s" + std::to_string(tick())));
  if (made.failed_with(Code::kNoSpace)) return;
  if (!made.ok()) return violation("snapshot: " + made.error().message);
  ++report_.snapshots;
  trace("snapshot " + made->id);
  snapshots_.push_back({made->id, volume, volumes_[volume].model});
}

void EngineRun::check_snapshots() {
  for (auto& snapshot : snapshots_) {
    const auto sectors = snapshot.model.sectors();
    const auto first = dice(sectors);
    const auto count = 1 + dice(std::min<std::uint64_t>(sectors - first, 2048));
    const auto began = tick();
    snapshot.model.begin_read(began);
    const auto reply = node_.process().run(
        node_.engine()->read(volumes_[snapshot.volume].id, first * kSectorBytes,
                             static_cast<std::uint32_t>(count * kSectorBytes), snapshot.id));
    if (!reply.ok()) {
      snapshot.model.end_read(began);
      if (reply.failed_with(Code::kNoSpace)) continue;  // the index has not come to its mark yet
      return violation("snapshot " + snapshot.id + ": " + reply.error().message);
    }
    if (auto wrong = snapshot.model.check(first, reply->data.bytes(), began, tick()))
      return violation("snapshot " + snapshot.id + ": " + *wrong);
  }
}

void EngineRun::change_volumes() {
  auto& volume = volumes_[pick_volume()];
  auto& process = node_.process();
  if (chance(50)) {
    const auto size = volume.model.sectors() * kSectorBytes + (kBlockBytes << dice(6));
    if (size > kVolumeBytesMax) return;
    const auto grown = process.run(node_.engine()->resize_volume(volume.name, size));
    if (!grown.ok()) return violation("resize: " + grown.error().message);
    volume.model.grow(size / kSectorBytes);
  } else if (chance(60)) {
    const auto gone = process.run(node_.engine()->delete_volume(volume.name));
    if (!gone.ok()) return violation("delete: " + gone.error().message);
    const auto back = process.run(node_.engine()->undelete_volume(volume.name));
    if (!back.ok()) return violation("undelete: " + back.error().message);
    if (back->id != volume.id) return violation("undelete brought another volume back");
  } else {
    replace_volume();
  }
}

// A volume goes for good, and another one gets its name. Its snapshots still show it.
void EngineRun::replace_volume() {
  if (volumes_.size() > kVolumesMax) return;
  auto& process = node_.process();
  auto& old = volumes_[pick_volume()];
  const auto gone = process.run(node_.engine()->delete_volume(old.name));
  if (!gone.ok()) return violation("delete: " + gone.error().message);
  old.deleted = true;
  const auto read = process.run(node_.engine()->read(old.id, 0, kBlockBytes));
  if (read.code() != Code::kNotFound) return violation("a deleted volume was read");
  const auto name = old.name;
  create_volume(name);
  if (failed() || chance(50)) return;
  const auto purged = process.run(node_.engine()->purge_volume(name));
  if (!purged.ok()) violation("purge: " + purged.error().message);
}

void EngineRun::drop_one_snapshot() {
  const auto at = dice(snapshots_.size());
  const auto dropped = node_.process().run(node_.engine()->drop_snapshot(snapshots_[at].id));
  if (dropped.failed_with(Code::kNoSpace)) return;
  if (!dropped.ok()) return violation("drop snapshot: " + dropped.error().message);
  trace("snapshot " + snapshots_[at].id + " is dropped");
  snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(at));
}

void EngineRun::quiet() {
  if (chance(15)) take_snapshot();
  if (!failed() && chance(30)) check_snapshots();
  if (!failed() && !snapshots_.empty() && (chance(10) || snapshots_.size() > 4))
    drop_one_snapshot();
  if (!failed() && chance(15)) change_volumes();
  if (!failed() && chance(20)) trouble_.take_image();
  if (!failed() && trouble_.any() && chance(30)) {
    if (auto wrong = trouble_.heal()) violation(*wrong);
  }
  if (!failed() && chance(60)) trouble_.strike();
  if (!failed() && chance(25)) checkpoint_and_crash();
  if (!failed() && chance(10)) {
    const auto done = node_.process().run(node_.engine()->checkpoint());
    if (!done.ok() && done.code() != Code::kNoSpace)
      violation("checkpoint: " + done.error().message);
  }
  if (!failed() && chance(8)) restart();
}

void EngineRun::check_everything() {
  auto& process = node_.process();
  for (std::size_t v = 0; v < volumes_.size() && !failed(); ++v) {
    if (volumes_[v].deleted) continue;
    const auto sectors = volumes_[v].model.sectors();
    for (std::uint64_t at = 0; at < sectors && !failed(); at += 1024)
      process.run(read_once(v, at, std::min<std::uint64_t>(1024, sectors - at)));
  }
  check_snapshots();
  if (failed()) return;
  const auto checked = process.run(node_.engine()->check());
  if (!checked.ok())
    violation("check: " + checked.error().message);
  else if (!checked->empty())
    violation("check: " + *checked);
}

// What was done to the node, whatever came of it.
std::uint64_t EngineRun::faults() const {
  return report_.crashes + report_.recovery_crashes + trouble_.strikes();
}

bool EngineRun::enough() const {
  return report_.operations >= options_.operations && faults() >= options_.faults;
}

RunReport EngineRun::run() {
  if (begin()) {
    while (!enough() && !failed()) {
      round();
      if (const auto& wrong = node_.nonces().violation()) violation(*wrong);
    }
    if (!failed()) check_everything();
    if (!failed()) crash_and_recover();
    if (!failed()) check_everything();
    note_engine_stats();
    if (!failed()) node_.stop();
  }
  clients_.reset();
  report_.strikes = faults();
  report_.heals = trouble_.heals();
  report_.sealings = node_.nonces().sealings();
  report_.faults = node_.process().disks().counts();
  report_.virtual_s = static_cast<double>(world_.now_ns()) / 1e9;
  report_.events = world_.events();
  report_.event_hash = world_.hash();
  return report_;
}

}  // namespace square::sim
