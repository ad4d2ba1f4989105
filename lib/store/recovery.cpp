// Start: checkpoint + journal = index, always and exactly; then full copies of all that lives; then
// a term mark in each group. Only after that anything is counted, shown, checkpointed or reused.
#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "store/engine_impl.hpp"

namespace square::store {

using format::CheckpointHeader;

namespace {

constexpr std::uint32_t kImportPieceBytes = 1u << 20;
constexpr std::uint32_t kRecordBytesNeeded = format::kOperationBytesMax + (128u << 10);

// Operations of a log of its own would be taken for those whose rewrites came with a diff.
Result<> may_serve(const index::Index& index, GroupId group) {
  const auto applied = index.applied(group).sequence;
  const auto held = index.snapshots(group);
  const bool ahead =
      std::ranges::any_of(held, [&applied](const auto& one) { return one.rewrites > applied; });
  if (!ahead && !index.landing(group)) return {};
  return Error{Code::kConflict, "group " + std::to_string(group.value) +
                                    " came as a diff, and not all of what its source had done: "
                                    "only a store that receives can open it"};
}

bool on_chain(const journal::RecoveredLane& lane, const format::LanePoint& point) {
  return std::find(lane.points.begin(), lane.points.end(), point) != lane.points.end();
}

}  // namespace

Async<std::unique_ptr<index::Index>> Engine::Impl::import_index(
    const pool::Checkpoint& checkpoint) {
  SQ_CO_TRY(auto import, index_files_.import_files());
  for (const auto& file : checkpoint.files) {
    for (std::uint64_t at = 0; at < file.size_bytes || at == 0; at += kImportPieceBytes) {
      const auto size = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(kImportPieceBytes, file.size_bytes - at));
      Buffer bytes;
      if (size > 0) {
        SQ_CO_TRY(bytes, co_await core_.pool->read_checkpoint_file(file, at, size));
      }
      SQ_CO_TRY(import->put(file.name, at, bytes.bytes()));
    }
  }
  SQ_CO_TRY(auto kv, import->finish());
  core_.stats.index_from_pool = true;
  co_return index::Index::open(std::move(kv));
}

// The local working copy counts only if it stands on the journal's chain and holds everything below
// the tail, where the journal begins; else it burns, and the pool's copy takes its place.
Async<std::unique_ptr<index::Index>> Engine::Impl::usable_index(
    const std::optional<pool::Checkpoint>& from, const CheckpointHeader& header,
    const journal::RecoveredLane& lane) {
  auto kv = with_local_index_ ? index_files_.open_local()
                              : Error{Code::kNotFound, "the local index was left aside"};
  if (kv.ok()) {
    auto local = index::Index::open(std::move(kv).value());
    if (local.ok()) {
      const auto point = (*local)->lane_point(0);
      // Not all that changes it is in the lane: what a checkpoint holds, it must hold too.
      const bool behind = from && (*local)->checkpoint() < from->id;
      const bool whole = !behind && point.position >= header.tail.position && on_chain(lane, point);
      if (whole || SQ_PLANTED("stale_index_accepted")) {
        local_index_used_ = true;
        co_return std::move(local).value();
      }
      SQ_PROBE("the local index did not stand on the journal's chain");
    }
  }
  if (from && !from->passed_over.empty() && lane.tail.position > header.tail.position)
    co_return Error{Code::kDataLoss,
                    "the journal no longer has what a checkpoint held that cannot be read, and the "
                    "local index does not serve either" +
                        from->passed_over};
  if (from) co_return co_await import_index(*from);
  SQ_CO_TRY(auto empty, index_files_.create_empty());
  co_return index::Index::open(std::move(empty));
}

Group& Engine::Impl::group(GroupId id) {
  auto& found = groups_[id];
  if (found == nullptr) found = std::make_unique<Group>(core_, id);
  return *found;
}

Result<> Engine::Impl::replay_record(const journal::DurableRecord& record,
                                     std::vector<ReplayedMove>& moves) {
  SQ_TRY(auto decoded, format::decode_record(record.bytes));
  const auto at = record.position;
  // The local index may be ahead of the checkpoint: what it has taken must stay in the journal all
  // the same, until a checkpoint holds it.
  if (!SQ_PLANTED("index_ahead_not_held")) core_.ledger.applied(core_.ledger.hold(at));
  if (auto* operation = std::get_if<format::OperationRecord>(&decoded)) {
    return group(operation->operation.group)
        .replay(operation->operation, std::move(operation->payload), {}, at);
  }
  if (auto* direct = std::get_if<format::DirectRecord>(&decoded)) {
    return group(direct->operation.group)
        .replay(direct->operation, {}, std::move(direct->stripes), at);
  }
  if (auto* placement = std::get_if<format::PlacementRecord>(&decoded)) {
    auto stripes = std::move(placement->stripes);  // they go with the first that is still needed
    auto& of = group(placement->group);
    for (const auto& operation : placement->operations) {
      const bool needed = operation.sequence > of.applied();
      SQ_TRY(
          of.replay(operation, {}, needed ? std::exchange(stripes, {}) : decltype(stripes){}, at));
    }
    return {};
  }
  if (auto* move = std::get_if<format::MoveRecord>(&decoded))
    moves.push_back({std::move(*move), core_.ledger.hold(at)});
  return {};
}

Result<> Engine::Impl::replay(const journal::RecoveredLane& lane) {
  std::vector<ReplayedMove> moves;
  for (const auto& record : lane.records)
    SQ_TRY(replay_record(record, moves)
               .context("journal record at position " + std::to_string(record.position.value)));
  for (auto& [id, each] : groups_) {
    SQ_TRY(each->adopt_tail());
    SQ_TRY(each->apply_ready());
    core_.stats.recovered_operations += each->replayed();
  }
  // In lane order. They commute with the operations above: a move changes only where bytes are
  // found, and only for mappings that still name that extent at that place.
  for (auto& [move, hold] : moves) {
    SQ_TRY(core_.index->apply_move(move, core_.index_point()));
    for (const auto& stripe : move.stripes) {
      SQ_TRY(const auto held,
             core_.index->find_stripe(stripe.segment, stripe.generation, stripe.stripe_block));
      if (held) SQ_TRY(core_.pool->adopt(*held, true));
    }
    core_.ledger.applied(std::move(hold));
  }
  return {};
}

// What the index says, and on top of it what the journal says.
Result<> Engine::Impl::take_over(const journal::RecoveredLane& lane) {
  Result<> adopted;
  SQ_TRY(core_.index->for_each_stripe([&](const format::StripeDescriptor& stripe) {
    if (adopted.ok()) adopted = core_.pool->adopt(stripe, true);
  }));
  SQ_TRY(std::move(adopted));
  for (const auto id : core_.index->groups()) group(id);
  if (!core_.options.receives)
    for (std::uint32_t i = 1; i <= core_.options.groups; ++i) group(GroupId(i));
  for (auto& [id, each] : groups_) SQ_TRY(each->restore());
  return replay(lane);
}

Async<> Engine::Impl::open() {
  const auto began = core_.env.loop.now();
  SQ_CO_TRY(core_.pool, co_await pool::Pool::open(core_.env, core_.options.pool));
  SQ_CO_TRY(const auto checkpoint, co_await core_.pool->load_checkpoint());
  CheckpointHeader header;
  if (checkpoint) {
    SQ_CO_TRY(header, format::decode_checkpoint_header(checkpoint->header));
  }

  const auto& geometry = core_.pool->geometry();
  journal::LaneConfig lane;
  lane.pool = core_.pool->id();
  lane.ring_bytes = geometry.journal_bytes;
  lane.copies = static_cast<std::uint8_t>(geometry.m + 1);
  lane.activities = core_.options.activities;
  core_.lane = std::make_unique<journal::Lane>(core_.env, *core_.pool, lane);
  if (core_.lane->record_bytes_max() < kRecordBytesNeeded)
    co_return Error{Code::kUnsupported, "the journal area of this pool is too small"};
  SQ_CO_TRY(auto recovered, co_await core_.lane->recover(header.tail));

  SQ_CO_TRY(core_.index, co_await usable_index(checkpoint, header, recovered));
  auto taken = take_over(recovered);
  local_index_failed_ = !taken.ok() && local_index_used_;
  SQ_CO_TRY(std::move(taken));
  recovered.records.clear();

  auto restored = co_await core_.lane->restore_copies();
  journal_changed_ = restored.failed_with(Code::kConflict);
  SQ_CO_TRY(std::move(restored));
  if (checkpoint) next_checkpoint_ = checkpoint->id.number + 1;
  // The labels know of every term, also of one whose records lie on a disk that is away now.
  epoch_.number = std::max({core_.pool->last_epoch(), recovered.highest_epoch.number,
                            header.epoch.number, checkpoint ? checkpoint->id.epoch : 0}) +
                  1;
  epoch_.random = core_.env.random.draw<std::uint64_t>();
  SQ_CO_TRY(co_await core_.pool->begin_epoch(epoch_.number));
  core_.lane->start(epoch_, [this](const journal::DurableRecord& record) {
    core_.ledger.arrived(record.position);
  });
  core_.pool->before_rebuild([this] { return copies_first(); });
  core_.pool->on_damaged_stripe([this](const format::StripeDescriptor& stripe) {
    damaged_.insert(stripe.segment);
    core_.work.set();
  });
  core_.pool->on_segment_freed([this] {
    look_again();
    core_.room.let_in();
    core_.work.set();
  });
  core_.pool->on_slot_joined([this](Slot slot) { core_.lane->slot_joined(slot); });
  core_.pool->serve(epoch_.number, this, [this](Slot slot) { core_.lane->slot_lost(slot); });
  // A crash loop must not fill the ring with term marks.
  if (core_.lane->used_bytes() > core_.lane->ring_bytes() / 4 * 3)
    SQ_CO_TRY(co_await this->checkpoint());
  for (auto& [id, each] : groups_) {
    if (core_.options.receives) continue;
    SQ_CO_TRY(may_serve(*core_.index, id));
    SQ_CO_TRY((co_await each->begin_term(epoch_)).context("begin a serving term"));
  }
  last_checkpoint_ = core_.env.loop.now();
  core_.stats.start_seconds = std::chrono::duration<double>(core_.env.loop.now() - began).count();
  start_background();
  co_return {};
}

}  // namespace square::store
