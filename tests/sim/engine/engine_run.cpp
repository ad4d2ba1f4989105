#include "sim/engine/engine_run.hpp"

#include <algorithm>
#include <cstdio>

#include "codec/checksum.hpp"

namespace square::sim {

namespace {

constexpr std::uint64_t kSectorsOfBlock = kBlockBytes / kSectorBytes;
constexpr int kRecoveryCrashesMax = 3;

NodeShape draw_shape(Rng& rng) {
  NodeShape shape;
  switch (rng.below(4)) {
    case 0: shape.k = 8, shape.m = 2, shape.spares = 2; break;
    case 1: shape.k = 4, shape.m = 1, shape.spares = 0; break;
    case 2: shape.k = 2, shape.m = 2, shape.spares = 1; break;
    default: shape.k = 10, shape.m = 3, shape.spares = 0; break;
  }
  shape.groups = rng.below(3) == 0 ? 2 : 1;
  shape.direct_bytes_min = (rng.below(2) ? 64u : 256u) << 10;
  return shape;
}

}  // namespace

EngineRun::EngineRun(RunOptions options)
    : options_(options), world_(options.seed), rng_(options.seed * 31 + 7) {
  shape_ = draw_shape(rng_);
  node_ = std::make_unique<EngineNode>(world_, shape_);
  node_->process().disks().set_timing(chance(50) ? DiskTiming::instant() : DiskTiming{});
  damaged_.resize(node_->paths().size());
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
  if (auto made = node_->format(); !made.ok()) {
    violation("format: " + made.error().message);
    return false;
  }
  recover();
  if (failed()) return false;
  const auto count = 2 + dice(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    store::CreateVolume request;
    request.name = "v" + std::to_string(i);
    request.size_bytes = (1 + dice(3)) << 20;
    request.extent_bytes = 4096u << dice(6);  // up to 128 KiB
    request.group = GroupId(1 + static_cast<std::uint32_t>(dice(shape_.groups)));
    const auto made = node_->process().run(node_->engine()->create_volume(request));
    if (!made.ok()) {
      violation("create volume: " + made.error().message);
      return false;
    }
    volumes_.push_back(
        {request.name, made->id, VolumeModel(request.size_bytes / kSectorBytes), false});
  }
  return true;
}

store::RequestId EngineRun::next_request() {
  if (session_ == SessionId{} || chance(30)) return {};
  return {session_, RequestNumber(next_number_++)};
}

EngineRun::Write EngineRun::draw_write() {
  Write write;
  write.volume = dice(volumes_.size());
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
  if (write.token == 0) return node_->engine()->zero(id, offset, length, write.request);
  auto data = Buffer::allocate(length);
  for (std::uint64_t i = 0; i < write.count; ++i)
    fill_sector(write.token + i, data.bytes().subspan(i * kSectorBytes, kSectorBytes));
  std::vector<std::uint64_t> ingest;
  for (std::uint64_t at = 0; at < length;) {
    const auto part = std::min(length - at, kBlockBytes - (offset + at) % kBlockBytes);
    ingest.push_back(codec::checksum64(data.bytes().subspan(at, part)));
    at += part;
  }
  return node_->engine()->write(id, offset, std::move(data), std::move(ingest), write.request);
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
  } else if (result.code() == Code::kOutcomeUnknown && !node_->process().running()) {
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
  const auto reply = co_await node_->engine()->read(
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
  const auto volume = dice(volumes_.size());
  const auto began = tick();
  const auto size = volumes_[volume].model.sectors() * kSectorBytes;
  volumes_[volume].model.begin_read(began);
  const auto extents = co_await node_->engine()->block_status(volumes_[volume].id, 0, size, 4096);
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
      const auto volume = dice(volumes_.size());
      const auto sectors = volumes_[volume].model.sectors();
      const auto first = dice(sectors);
      co_await read_once(volume, first, 1 + dice(std::min<std::uint64_t>(sectors - first, 256)));
    } else {
      co_await status_once();
    }
  }
}

void EngineRun::recover() {
  for (int attempt = 0; !failed(); ++attempt) {
    auto& plan = node_->process().disks().plan();
    plan.disarm();
    if (attempt < kRecoveryCrashesMax && report_.crashes > 0 && chance(25))
      plan.arm({chance(60) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(120), kAnyOp, false});
    trace("start");
    const auto started = node_->start();
    trace("started");
    plan.disarm();
    if (!started) {
      ++report_.recovery_crashes;
      trace("crash inside recovery");
      node_->crash(CrashKind::kKill, dice(node_->index_states() + 1));
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
  if (node_->process().running()) node_->process().crash(kind);
  for (auto& volume : volumes_) volume.model.crashed(tick());
  report_.unknown += in_flight_.size();
  unknown_.insert(unknown_.end(), in_flight_.begin(), in_flight_.end());
  in_flight_.clear();
  // The state directory is gone, older, or as it was flushed last.
  const auto states = node_->index_states();
  node_->crash(kind, chance(60) ? states : dice(states + 1));
  recover();
  if (!failed()) retry_unknown();
}

// The same request again, as a client library would: done once, whatever happened.
void EngineRun::retry_unknown() {
  for (auto& write : std::exchange(unknown_, {})) {
    if (write.request.session == SessionId{} || volumes_[write.volume].deleted) continue;
    ++report_.retries;
    const auto result = node_->process().run(carry_out(write));
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
  if (node_->engine() == nullptr) return;
  const auto stats = node_->engine()->stats();
  report_.destages += stats.destages;
  report_.checkpoints += stats.checkpoints;
  report_.direct_writes += stats.direct_writes;
  report_.moved_bytes += stats.moved_bytes;
  report_.rebuilt_bytes += stats.pool.written_rebuild_bytes;
}

void EngineRun::round() {
  auto& process = node_->process();
  if (session_ == SessionId{} && chance(50)) {
    const auto opened = process.run(node_->engine()->open_session());
    if (!opened.ok()) return violation("open session: " + opened.error().message);
    session_ = *opened;
  }
  const bool crash = chance(45);
  if (crash)
    process.disks().plan().arm(
        {chance(70) ? DiskFault::kCrash : DiskFault::kKill, 1 + dice(3000), kAnyOp, false});
  clients_ = std::make_unique<env::Scope>(process.loop());
  const auto clients = 1 + dice(12);
  for (std::uint64_t i = 0; i < clients; ++i) clients_->spawn(client(1 + dice(30)));
  const bool ended = world_.run_until([&] { return !process.running() || clients_->size() == 0; },
                                      std::chrono::hours(1));
  process.disks().plan().disarm();
  if (!ended) return violation("the clients came to no end within an hour");
  if (!process.running() || chance(10)) return crash_and_recover();
  clients_.reset();
  quiet();
}

void EngineRun::take_snapshot() {
  const auto volume = dice(volumes_.size());
  const auto made = node_->process().run(
      node_->engine()->create_snapshot({volumes_[volume].name}, "s" + std::to_string(tick())));
  if (!made.ok() && made.code() == Code::kNoSpace) return;
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
    const auto reply = node_->process().run(
        node_->engine()->read(volumes_[snapshot.volume].id, first * kSectorBytes,
                              static_cast<std::uint32_t>(count * kSectorBytes), snapshot.id));
    if (!reply.ok()) {
      snapshot.model.end_read(began);
      return violation("snapshot " + snapshot.id + ": " + reply.error().message);
    }
    if (auto wrong = snapshot.model.check(first, reply->data.bytes(), began, tick()))
      return violation("snapshot " + snapshot.id + ": " + *wrong);
  }
}

void EngineRun::change_volumes() {
  auto& volume = volumes_[dice(volumes_.size())];
  auto& process = node_->process();
  if (chance(50)) {
    const auto size = volume.model.sectors() * kSectorBytes + (kBlockBytes << dice(6));
    if (size > 6u << 20) return;
    const auto grown = process.run(node_->engine()->resize_volume(volume.name, size));
    if (!grown.ok()) return violation("resize: " + grown.error().message);
    volume.model.grow(size / kSectorBytes);
  } else {
    const auto gone = process.run(node_->engine()->delete_volume(volume.name));
    if (!gone.ok()) return violation("delete: " + gone.error().message);
    const auto back = process.run(node_->engine()->undelete_volume(volume.name));
    if (!back.ok()) return violation("undelete: " + back.error().message);
  }
}

// At most m disks are lost or rotten in one run: what the pool promises to survive without a spare.
void EngineRun::hurt_disks() {
  const auto hurt = std::count(damaged_.begin(), damaged_.end(), true);
  const auto disk = dice(damaged_.size());
  if (!damaged_[disk] && hurt >= shape_.m) return;
  damaged_[disk] = true;
  auto& medium = node_->medium(disk);
  switch (dice(3)) {
    case 0:
      trace("disk " + std::to_string(disk) + " vanishes");
      medium.set_vanished(true);
      break;
    case 1:
      trace("disk " + std::to_string(disk) + " fails a request");
      medium.plan().arm({DiskFault::kIoError, 1 + dice(50), kAnyOp, chance(50)});
      break;
    default:
      trace("disk " + std::to_string(disk) + " rots");
      medium.rot(rng_.next(), 1 + dice(200));
      break;
  }
}

// Spares take over and fill, a scrub mends what rotted; then the pool promises m disks again.
void EngineRun::let_it_heal() {
  world_.run_for(std::chrono::seconds(3));
  const auto& pool = node_->engine()->pool();
  const auto whole = [&] {
    const auto status = pool.status();
    return status.members_missing == 0 && !status.rebuild.active;
  };
  if (pool.status().rebuild.active) world_.run_until(whole, std::chrono::hours(1));
  if (!whole()) return;
  if (auto started = node_->engine()->pool().start_scrub(); !started.ok())
    return violation("scrub: " + started.error().message);
  if (!world_.run_until([&] { return !pool.status().scrub.active; }, std::chrono::hours(1)))
    return violation("the scrub came to no end within an hour");
  if (!whole()) return;
  // Whether anything was lost, reads tell: a stripe may be counted in which nothing lives any more.
  trace("healed");
  ++report_.heals;
  // A fault that was ordered and has not struck yet never will: it would exceed what is promised.
  for (std::size_t i = 0; i < damaged_.size(); ++i)
    if (damaged_[i]) node_->medium(i).plan().disarm();
  std::fill(damaged_.begin(), damaged_.end(), false);
}

void EngineRun::quiet() {
  if (chance(15)) take_snapshot();
  if (!failed() && chance(30)) check_snapshots();
  if (!failed() && !snapshots_.empty() && (chance(10) || snapshots_.size() > 4)) {
    const auto at = dice(snapshots_.size());
    const auto dropped = node_->process().run(node_->engine()->drop_snapshot(snapshots_[at].id));
    if (!dropped.ok() && dropped.code() == Code::kNoSpace) return;
    if (!dropped.ok()) return violation("drop snapshot: " + dropped.error().message);
    snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (!failed() && chance(10)) change_volumes();
  if (!failed() && chance(15)) hurt_disks();
  if (!failed() && chance(20) && std::ranges::find(damaged_, true) != damaged_.end()) let_it_heal();
  if (!failed() && chance(15)) {
    const auto done = node_->process().run(node_->engine()->checkpoint());
    if (!done.ok() && done.code() != Code::kNoSpace)
      violation("checkpoint: " + done.error().message);
  }
}

void EngineRun::check_everything() {
  auto& process = node_->process();
  for (std::size_t v = 0; v < volumes_.size() && !failed(); ++v) {
    const auto sectors = volumes_[v].model.sectors();
    for (std::uint64_t at = 0; at < sectors && !failed(); at += 1024)
      process.run(read_once(v, at, std::min<std::uint64_t>(1024, sectors - at)));
  }
  check_snapshots();
  if (failed()) return;
  const auto checked = process.run(node_->engine()->check());
  if (!checked.ok())
    violation("check: " + checked.error().message);
  else if (!checked->empty())
    violation("check: " + *checked);
}

RunReport EngineRun::run() {
  if (begin()) {
    while (report_.operations < options_.operations && !failed()) round();
    if (!failed()) check_everything();
    if (!failed()) crash_and_recover();
    if (!failed()) check_everything();
    note_engine_stats();
    if (!failed()) node_->stop();
  }
  clients_.reset();
  report_.faults = node_->process().disks().counts();
  report_.virtual_s = static_cast<double>(world_.now_ns()) / 1e9;
  report_.events = world_.events();
  report_.event_hash = world_.hash();
  return report_;
}

}  // namespace square::sim
