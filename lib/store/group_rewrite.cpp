// Rewriting: the few visible blocks of an extent get a small extent of their own, and the space of
// the large one comes back. The content does not change, so nothing is locked and no history is
// kept: the operation names the extent that was read, and the index changes only what still is that
// extent. Until it has, reads go on finding the old one.
#include <set>

#include "base/probe.hpp"
#include "store/rewrite_core.hpp"
#include "store/seal_job.hpp"

namespace square::store {

namespace {

constexpr std::size_t kLookPieces = 512;  // of one tick: a few milliseconds
constexpr int kTrimsAtOnce = 8;

}  // namespace

struct Group::RewritePlan {
  VolumeId volume;
  std::uint64_t offset = 0;  // where the extent was written to
  format::ExtentRef extent;
  std::vector<Run> runs;
  Sequence changed;  // the last change of that part of the volume
};

// What of the extent the present and the snapshots show; nothing when the volume is gone.
Result<std::optional<Group::RewritePlan>> Group::plan_of(VolumeId volume, std::uint64_t offset,
                                                         const format::ExtentRef& extent) const {
  std::optional<RewritePlan> none;
  if (!record_of(volume, std::nullopt).ok()) return none;
  std::vector<std::vector<index::Piece>> layers(1);
  SQ_TRY(layers[0], core_.index->lookup(id_, volume, offset, extent.plain_bytes));
  const auto changed = newest(layers[0]);
  for (const auto& held : core_.index->snapshots(id_)) {
    SQ_TRY(auto layer,
           core_.index->lookup(id_, volume, offset, extent.plain_bytes, held.id.sequence));
    layers.push_back(std::move(layer));
  }
  auto runs = visible_runs(extent.id, layers);
  return std::optional(RewritePlan{volume, offset, extent, std::move(runs), changed});
}

// A pass goes over everything that is mapped, a little at each tick. The next one begins after a
// while, and only if there is anything that the one before took for too new.
Result<std::vector<Group::RewritePlan>> Group::look_for_sparse(std::uint64_t bytes_max) {
  std::vector<RewritePlan> plans;
  const auto now = core_.env.loop.now();
  if (!pass_.under_way) {
    if (now < pass_.next || applied_ <= pass_.looked_up_to) return plans;
    pass_.under_way = true;
    pass_.cursor = {};
    pass_.began = applied_;
  }
  SQ_TRY(const auto pieces,
         core_.index->diff(id_, std::nullopt, std::nullopt, pass_.cursor, kLookPieces));
  if (pieces.empty()) {
    pass_.under_way = false;
    pass_.looked_up_to = std::exchange(pass_.cold, pass_.began);
    pass_.next = now + core_.options.rewrite_interval;
    return plans;
  }
  std::set<ExtentId> looked;
  std::uint64_t bytes = 0;
  for (const auto& [volume, piece] : pieces) {
    if (bytes >= bytes_max) break;
    pass_.cursor = {volume, piece.offset + piece.length};
    if (!piece.mapping || piece.mapping->hole) continue;
    const auto& extent = piece.mapping->extent;
    if (piece.length * 4 >= extent.plain_bytes || extent.id.sequence > pass_.cold) continue;
    if (!looked.insert(extent.id).second) continue;
    SQ_TRY(auto plan, plan_of(volume, piece.offset - piece.mapping->extent_offset, extent));
    // Not where somebody is at work, and only what gives much back.
    if (!plan || plan->changed > pass_.cold || !little_is_visible(plan->runs, extent.plain_bytes))
      continue;
    for (const auto& run : plan->runs) bytes += run.length;
    plans.push_back(std::move(*plan));
  }
  return plans;
}

Async<Group::SealJob> Group::rewrite_job(RewritePlan plan) {
  SQ_CO_TRY(const auto record, record_of(plan.volume, std::nullopt));
  SealJob job;
  job.type = format::OperationType::kRewrite;
  job.volume = plan.volume;
  job.key = record.key;
  job.frame_shift = core_.options.frame_shift;
  for (const auto& run : plan.runs) {
    ReadPiece piece;
    piece.offset = run.offset;
    piece.length = run.length;
    piece.hole = false;
    piece.extent = plan.extent;
    piece.extent_offset = static_cast<std::uint32_t>(run.offset - plan.offset);
    BlockContent content{run.offset, Buffer::allocate(run.length), {}};
    SQ_CO_TRY(
        co_await fetch(plan.volume, record.key, piece, content.data.bytes(), &content.ingest));
    job.add(std::move(content));
    job.expected.push_back(plan.extent.id);
  }
  SQ_CO_TRY(core_.check_journal());
  co_return job;
}

Async<> Group::rewrite(RewritePlan plan) {
  SQ_CO_TRY(auto job, co_await rewrite_job(std::move(plan)));
  if (core_.room.waiting() > 0 || !core_.has_room(job.stored_bytes, RoomFor::kClients))
    co_return core_.full("nothing is sealed anew to no purpose");
  if (clients_wait() || !core_.write_buffer.try_acquire(job.stored_bytes))
    co_return Error{Code::kBusy, "clients come first"};
  const auto bytes = job.content_bytes;
  SQ_CO_TRY(co_await seal_and_log(std::move(job)));
  core_.stats.rewritten_bytes += bytes;
  SQ_PROBE("an extent was rewritten");
  co_return {};
}

// Clients wait for what it gives back: it has a part of the reserve that is not theirs, and its
// turn at the write buffer.
Async<> Group::rewrite_for_room(RewritePlan plan) {
  SQ_CO_TRY(auto job, co_await rewrite_job(std::move(plan)));
  if (!core_.has_room(job.stored_bytes, RoomFor::kRewriting))
    co_return core_.full("there is none to seal anew what is visible of old extents");
  if (!core_.write_buffer.try_acquire(job.stored_bytes)) {
    core_.work.set();
    co_await core_.write_buffer.acquire(job.stored_bytes);
  }
  if (!core_.still_has_room(RoomFor::kRewriting)) {
    core_.write_buffer.release(job.stored_bytes);
    co_return core_.full("there is none left to seal anew what is visible of old extents");
  }
  const auto bytes = job.content_bytes;
  SQ_CO_TRY(co_await seal_and_log(std::move(job)));
  core_.stats.rewritten_bytes += bytes;
  SQ_PROBE("an extent was trimmed");
  co_return {};
}

struct Group::Trimming {
  std::vector<format::MovedExtent> extents;
  std::size_t next = 0, done = 0;
  Result<> refused;
};

Task<void> Group::trim_worker(Trimming* trimming) {
  while (trimming->next < trimming->extents.size() && trimming->refused.ok()) {
    const auto& extent = trimming->extents[trimming->next++];
    auto plan = plan_of(extent.volume, extent.offset, extent.from);
    if (!plan.ok() || !*plan || !some_is_hidden((*plan)->runs, extent.from.plain_bytes)) continue;
    const auto done = co_await rewrite_for_room(*std::move(*plan));
    if (done.ok()) ++trimming->done;
    if (!core_.alive().ok() || done.failed_with(Code::kNoSpace)) trimming->refused = done;
  }
}

Async<std::size_t> Group::trim(std::vector<format::MovedExtent> extents) {
  SQ_CO_TRY(core_.alive());
  Trimming trimming;
  for (auto& extent : extents)
    if (extent.group == id_) trimming.extents.push_back(std::move(extent));
  {
    env::Scope scope(core_.env.loop);
    for (int i = 0; i < kTrimsAtOnce; ++i) scope.spawn(trim_worker(&trimming));
    co_await scope.join();
  }
  SQ_CO_TRY(core_.alive());
  if (trimming.done > 0) SQ_CO_TRY(co_await wait_applied(commit_));
  if (trimming.done == 0) SQ_CO_TRY(trimming.refused);
  co_return trimming.done;
}

bool Group::clients_wait() const {
  const auto& buffer = core_.write_buffer;
  return buffer.waiting() > 0 || buffer.used() > buffer.total() / 4;
}

Async<> Group::rewrite_some(std::uint64_t bytes_max) {
  SQ_CO_TRY(core_.alive());
  if (!serving_ || clients_wait()) co_return {};
  SQ_CO_TRY(auto plans, look_for_sparse(bytes_max));
  for (auto& plan : plans) {
    const auto done = co_await rewrite(std::move(plan));
    // One that has moved, changed or was damaged meanwhile: the next pass looks again.
    if (!done.ok() && (done.code() == Code::kNoSpace || done.code() == Code::kBusy)) co_return done;
    SQ_CO_TRY(core_.alive());
  }
  co_return {};
}

}  // namespace square::store
