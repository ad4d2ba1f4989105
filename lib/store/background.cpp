// What runs beside requests: destaging, checkpoints, cleaning, merging of dropped snapshots.
#include <algorithm>

#include "base/probe.hpp"
#include "store/engine_impl.hpp"

namespace square::store {

namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 1s;
constexpr std::size_t kMergeEntriesMax = 2000;
constexpr int kFailedRoundsMax = 8;  // disks may fail one after another; each is left out then

}  // namespace

Engine::Impl::Impl(env::Env env, EngineOptions options, index::KvFactory& index_files,
                   codec::KeyStore& keys, bool with_local_index)
    : core_(env, std::move(options), keys),
      index_files_(index_files),
      with_local_index_(with_local_index),
      idle_(env.loop),
      chore_(env.loop),
      trim_wanted_(env.loop),
      checkpoint_mutex_(env.loop),
      scope_(env.loop) {
  core_.on_failed = [this] {
    for (auto& [id, each] : groups_) each->fail_waiters(*core_.failed);
  };
}

void Engine::Impl::start_background() {
  serving_ = true;
  arm_tick();
  scope_.spawn(background());
  scope_.spawn(chores());
  scope_.spawn(trims());
}

void Engine::Impl::arm_tick() {
  timer_ = core_.env.loop.add_timer(core_.env.loop.now() + kTick, [this] {
    tick_ = true;
    look_again();
    core_.room.refuse_since(core_.env.loop.now() - core_.options.room_wait_max,
                            core_.full("cleaning has not made room in time"));
    core_.work.set();
    chore_.set();
    if (!stopping_) arm_tick();
  });
}

bool Engine::Impl::should_destage(const Group& group) const {
  if (group.wants_destage()) return true;
  const auto unplaced = group.unplaced_bytes();
  if (unplaced == 0) return false;
  const auto& buffer = core_.write_buffer;
  return tick_ || want_checkpoint_ || unplaced >= core_.pool->stripe_bytes_max() ||
         buffer.waiting() > 0 || core_.room.waiting() > 0 || buffer.used() > buffer.total() / 2 ||
         ring_is_tight();
}

bool Engine::Impl::ring_is_tight() const {
  return core_.lane->waits_for_room() || core_.lane->used_bytes() > core_.lane->ring_bytes() / 2;
}

bool Engine::Impl::should_checkpoint() const {
  if (want_checkpoint_) return true;
  // Only what the index has taken and no checkpoint holds yet comes free by one.
  const auto durable = core_.lane->durable();
  if (ring_is_tight() && core_.ledger.unapplied_from(durable) > core_.ledger.tail(durable))
    return true;
  return changes_so_far() != changes_at_checkpoint_ &&
         core_.env.loop.now() - last_checkpoint_ >= core_.options.checkpoint_interval;
}

// Of what clients and diffs bring; what follows from it may wait for more.
std::uint64_t Engine::Impl::changes_so_far() const {
  auto changes = core_.stats.received_items;
  for (const auto& [id, each] : groups_) changes += each->applied().value;
  return changes;
}

Task<void> Engine::Impl::background() {
  int failed_rounds = 0;
  // Requests under way at the end may wait for it.
  while ((!stopping_ || visits_ > 0) && !core_.failed) {
    core_.work.reset();
    const auto more = co_await background_round();
    // Room, and members, may come back: at the next tick it is tried again.
    const bool waits =
        !more.ok() && (more.code() == Code::kNoSpace || more.code() == Code::kUnavailable);
    const bool failed = !more.ok() && !waits;
    failed_rounds = failed ? failed_rounds + 1 : 0;
    // Also while it stops: requests under way must not wait for what does not come.
    if (failed && (more.code() != Code::kIo || failed_rounds > kFailedRoundsMax)) {
      core_.fail(more.error());
      break;
    }
    if (core_.lane->halted()) {
      core_.fail({Code::kUnavailable, "no disk takes the journal"});
      break;
    }
    if (failed || (more.ok() && *more)) {
      core_.room.let_in();
      co_await env::yield(core_.env.loop);
      continue;
    }
    settle_writers(more.ok());
    if ((!stopping_ || visits_ > 0) && !core_.failed) co_await core_.work.wait();
  }
}

// Nothing is left that could be done at once. Room may come all the same: from segments that
// readers and discards still hold, from what is sealed anew, from what is accepted and not yet in
// the index.
void Engine::Impl::settle_writers(bool may_gain) {
  core_.room.let_in();
  if (core_.room.waiting() == 0) return;
  const auto room = core_.pool->room();
  if (room.segments_leaving > 0 || trim_) return;
  if (may_gain && (room.segments_released > 0 || core_.write_buffer.used() > 0)) return;
  SQ_PROBE("a writer was refused: cleaning gains nothing");
  core_.room.refuse_unfit(core_.full("cleaning finds no more"));
}

// One of each kind of work; true when there is more to do at once. What finds no room does not keep
// the checkpoint from being made: that is what brings room back.
Async<bool> Engine::Impl::background_round() {
  bool more = false;
  const bool ticked = tick_;
  std::optional<Error> no_room;
  const auto go_on = [&no_room](const Result<>& done) -> Result<> {
    if (done.ok() || done.code() != Code::kNoSpace) return done;
    no_room = done.error();
    return {};
  };
  for (auto& [id, each] : groups_) {
    if (!should_destage(*each)) continue;
    const auto destaged = co_await each->destage_once();
    SQ_CO_TRY(go_on(destaged));
    more = more || destaged.ok();
  }
  if (!more) tick_ = false;
  core_.lane->set_tail(core_.ledger.tail(core_.lane->durable()));
  bool purging_any = false;
  for (auto& [id, each] : groups_) {
    SQ_CO_TRY(const bool merging, core_.index->merge_step(id, kMergeEntriesMax));
    SQ_CO_TRY(const bool purging, core_.index->purge_step(id, kMergeEntriesMax));
    more = more || merging || purging;
    purging_any = purging_any || purging;
  }
  // The space of what was purged comes back with the next checkpoint.
  if (purging_ && !purging_any) want_checkpoint_ = true;
  purging_ = purging_any;
  if (ticked) {
    SQ_PROBE("the pool was reconciled");
    ignore(co_await core_.pool->reconcile(), "tried again at the next tick; disks say why");
  }
  auto cleaned = co_await clean_some();
  // What a stripe of new content costs in moves is paid in the same round.
  for (auto turns = cleaning_turns(); turns > 1 && cleaned.ok() && *cleaned; --turns)
    cleaned = co_await clean_some();
  SQ_CO_TRY(go_on(cleaned.ok() ? Result<>() : cleaned.error()));
  if (!cleaned.ok()) {
    SQ_PROBE("cleaning found no room");
    want_freed_segments(true);
  }
  more = more || (cleaned.ok() && *cleaned);
  if (should_checkpoint()) {
    const auto free_before = core_.pool->room().segments_free;
    SQ_CO_TRY(go_on(co_await checkpoint()));
    more = more || (no_room && core_.pool->room().segments_free > free_before);
  }
  core_.no_room.reset();
  if (no_room && !more) {
    SQ_PROBE("background work found no room");
    core_.no_room = no_room;
    core_.progress.pulse();
    co_return *no_room;
  }
  co_return more;
}

Task<void> Engine::Impl::copies_first() {
  for (const auto slot : core_.pool->live_slots()) core_.lane->slot_joined(slot);
  co_await core_.lane->wait_copies_whole();
}

Async<> Engine::Impl::drain() {
  for (auto& [id, each] : groups_) SQ_CO_TRY(co_await each->wait_applied(each->commit()));
  co_return {};
}

Async<> Engine::Impl::checkpoint() {
  const auto lock = co_await checkpoint_mutex_.lock();
  want_checkpoint_ = false;
  co_return co_await checkpoint_locked();
}

Async<> Engine::Impl::checkpoint_locked() {
  SQ_CO_TRY(core_.alive());
  const Busy busy(core_.options.activities, Activity::kCheckpoint);
  for (auto& [id, each] : groups_) SQ_CO_TRY(each->apply_ready());
  SQ_CO_TRY(co_await reclaim());
  const auto changes = changes_so_far();

  format::CheckpointHeader header;
  header.epoch = epoch_;
  // The index holds all below the tail; it says so itself, so that the local copy of this very
  // state is good enough for the next start.
  header.tail = core_.index_point().second;
  const auto tail = header.tail.position;
  const format::CheckpointId id{epoch_.number, next_checkpoint_++};
  SQ_CO_TRY(core_.index->set_checkpoint(id, 0, header.tail));
  // Nothing may leave from here on without giving them back, or the tail passes what no checkpoint
  // holds.
  auto covered = core_.ledger.begin_checkpoint();
  auto export_files = [index = core_.index.get()] {
    return std::make_optional(index->kv().export_files());
  };
  auto exported = co_await env::offload(core_.env.loop, std::move(export_files));
  Result<> written;
  if (exported->ok()) {
    auto& files = *exported->value();
    pool::Checkpoint checkpoint;
    checkpoint.id = id;
    checkpoint.header = format::encode(header);
    for (const auto& file : files.files())
      checkpoint.files.push_back({file.name, file.content_key, file.size_bytes});
    written = co_await core_.pool->write_checkpoint(std::move(checkpoint), reader_of(files));
  } else {
    written = std::move(*exported).error();
  }
  if (!written.ok()) {
    for (auto& hold : covered) core_.ledger.applied(std::move(hold));
    if (written.code() == Code::kUnavailable) core_.no_checkpoint = written.error();
    co_return std::move(written).context("write a checkpoint");
  }
  covered.clear();
  core_.no_checkpoint.reset();
  core_.lane->tail_is_in_checkpoint(tail);
  core_.lane->set_tail(core_.ledger.tail(core_.lane->durable()));
  changes_at_checkpoint_ = changes;
  last_checkpoint_ = core_.env.loop.now();
  ++core_.stats.checkpoints;
  co_return {};
}

pool::Pool::ReadFile Engine::Impl::reader_of(index::KvExport& files) {
  auto& loop = core_.env.loop;
  return [&files, &loop](const pool::CheckpointFile& file, std::uint64_t offset,
                         std::uint32_t size) -> Async<Buffer> {
    return read_export(loop, files, {file.name, file.content_key, file.size_bytes}, offset, size);
  };
}

Async<Buffer> Engine::Impl::read_export(env::Loop& loop, index::KvExport& files, index::KvFile file,
                                        std::uint64_t offset, std::uint32_t size) {
  auto read = [&files, file, offset, size] {
    return std::make_optional(files.read(file, offset, size));
  };
  auto bytes = co_await env::offload(loop, std::move(read));
  co_return std::move(*bytes);
}

Task<void> Engine::Impl::stop() {
  if (std::exchange(stopping_, true)) co_return;
  core_.env.loop.cancel_timer(timer_);
  core_.room.close({Code::kUnavailable, "the engine is stopping"});
  core_.work.set();
  while (visits_ > 0) co_await idle_.wait();
  core_.work.set();
  chore_.set();
  trim_wanted_.set();
  co_await scope_.join();
  if (!core_.failed && serving_) {
    // A courtesy for the next start; what is acknowledged is in the journal anyhow. Never after a
    // start that failed: what it has seen so far may be less than what is there.
    for (auto& [id, each] : groups_)
      while (!core_.failed && each->unplaced_bytes() > 0)
        if (!(co_await each->destage_once()).ok()) break;
    ignore(co_await checkpoint(), "the journal holds everything");
  }
  if (core_.lane != nullptr) co_await core_.lane->stop();
  if (core_.pool != nullptr) co_await core_.pool->stop();
  stopped_ = true;
}

}  // namespace square::store
