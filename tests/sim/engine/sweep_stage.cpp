#include "sim/engine/sweep_stage.hpp"

namespace square::sim {

namespace {

constexpr std::uint64_t kSectors = 2048;  // 1 MiB

NodeShape small_shape() {
  NodeShape shape;
  shape.k = 2;
  shape.m = 2;
  shape.spares = 1;
  shape.disk_bytes = 14u << 20;
  shape.journal_bytes = 5u << 20;
  shape.direct_bytes_min = 64u << 10;
  shape.checkpoint_interval = std::chrono::hours(1);
  return shape;
}

}  // namespace

SweepStage::SweepStage(std::uint64_t seed)
    : world_(seed), node_(world_, small_shape()), model_(kSectors) {
  node_.process().disks().set_timing(DiskTiming::instant());
  SQ_CHECK(node_.format().ok());
  const auto started = node_.start();
  SQ_CHECK(started && started->ok());
  store::CreateVolume request;
  request.name = name_;
  request.size_bytes = kSectors * kSectorBytes;
  request.extent_bytes = 16u << 10;
  const auto made = node_.process().run(engine().create_volume(request));
  SQ_CHECK(made.ok());
  id_ = made->id;
}

SweepStage::Outcome SweepStage::carry_out(std::uint64_t first, std::uint64_t count,
                                          std::uint64_t token) {
  using End = VolumeModel::Outcome;
  const auto began = ++tick_;
  model_.begin(first, count, token, began);
  Outcome done;
  if (token == 0) {
    done = try_task(engine().zero(id_, first * kSectorBytes, count * kSectorBytes));
  } else {
    auto sent = client_data(first, count, token);
    done = try_task(
        engine().write(id_, first * kSectorBytes, std::move(sent.data), std::move(sent.ingest)));
  }
  const bool acknowledged = done && done->ok();
  model_.end(first, count, token, began, ++tick_, acknowledged ? End::kDone : End::kUnknown);
  return done;
}

SweepStage::Outcome SweepStage::try_write(std::uint64_t first, std::uint64_t count) {
  const auto token = next_token_;
  next_token_ += count;
  return carry_out(first, count, token);
}

SweepStage::Outcome SweepStage::try_zero(std::uint64_t first, std::uint64_t count) {
  return carry_out(first, count, 0);
}

SweepStage::Outcome SweepStage::try_until(const std::function<bool()>& done) {
  auto& process = node_.process();
  const bool ended =
      world_.run_until([&] { return !process.running() || done(); }, std::chrono::hours(1));
  if (!process.running()) return std::nullopt;
  if (!ended) return Outcome(Error{Code::kTimeout, "it did not come to its end within an hour"});
  return Outcome(Result<>());
}

void SweepStage::write(std::uint64_t first, std::uint64_t count) {
  const auto done = try_write(first, count);
  SQ_CHECK(done && done->ok());
}

void SweepStage::snapshot() {
  const auto made = node_.process().run(engine().create_snapshot({name_}, "s"));
  SQ_CHECK(made.ok());
  snapshot_id_ = made->id;
  at_snapshot_ = model_;
}

void SweepStage::checkpoint() { SQ_CHECK(node_.process().run(engine().checkpoint()).ok()); }

void SweepStage::power_loss() { node_.crash(CrashKind::kPowerLoss, node_.index_states()); }

std::optional<std::string> SweepStage::crash_and_start(CrashKind kind, bool index_lost) {
  plan().disarm();
  model_.crashed(++tick_);
  node_.crash(kind, index_lost ? 0 : node_.index_states());
  const auto started = node_.start();
  if (!started) return "the process ended by itself at its start";
  if (!started->ok()) return "start: " + started->error().message;
  return std::nullopt;
}

std::optional<std::string> SweepStage::verify_range(VolumeModel& model, std::uint64_t first,
                                                    std::uint64_t count,
                                                    std::optional<std::string> at) {
  const auto began = ++tick_;
  model.begin_read(began);
  const auto reply = node_.process().run(engine().read(
      id_, first * kSectorBytes, static_cast<std::uint32_t>(count * kSectorBytes), at));
  if (reply.ok()) return model.check(first, reply->data.bytes(), began, ++tick_);
  model.end_read(began);
  return reply.error().message;
}

std::optional<std::string> SweepStage::verify() {
  plan().disarm();
  if (volume_may_be_deleted_ && !node_.process().run(engine().find_volume(name_)).ok()) {
    const auto back = node_.process().run(engine().undelete_volume(name_));
    if (!back.ok()) return "undelete: " + back.error().message;
  }
  for (std::uint64_t at = 0; at < kSectors; at += 512)
    if (auto wrong = verify_range(model_, at, 512, std::nullopt)) return "present: " + *wrong;
  if (at_snapshot_) {
    const auto listed = node_.process().run(engine().list_snapshots());
    if (!listed.ok()) return "snapshots: " + listed.error().message;
    bool there = false;
    for (const auto& view : *listed) there = there || view.id == snapshot_id_;
    if (!there && !snapshot_may_be_gone_) return "the snapshot is gone";
    for (std::uint64_t at = 0; there && at < kSectors; at += 512)
      if (auto wrong = verify_range(*at_snapshot_, at, 512, snapshot_id_))
        return "snapshot: " + *wrong;
  }
  const auto checked = node_.process().run(engine().check());
  if (!checked.ok()) return "check: " + checked.error().message;
  if (!checked->empty()) return "check: " + *checked;
  return std::nullopt;
}

}  // namespace square::sim
