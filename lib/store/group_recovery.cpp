// Recovery of a group: what the index holds, then the lane's records, then a term mark.
#include "base/planted.hpp"
#include "base/probe.hpp"
#include "store/group.hpp"

namespace square::store {

using format::OperationType;

Result<> Group::restore() {
  const auto applied = core_.index->applied(id_);
  applied_ = commit_ = applied.sequence;
  chain_ = applied.chain;
  const auto take = [this](std::string_view prefix, std::optional<Sequence> at) -> Result<> {
    SQ_TRY(const auto records, core_.index->records(id_, prefix, at));
    for (const auto& [key, value] : records) SQ_TRY(take_record(key, value));
    return {};
  };
  const auto at = shown();
  if (core_.options.receives && !at) return {};
  SQ_TRY(take(format::kGroupKey, at));
  SQ_TRY(take(format::kVolumePrefix, at));
  if (core_.options.receives) return {};  // nobody asks it about requests, and seals it looks up
  SQ_TRY(take(format::kSealPrefix, at));
  SQ_TRY(take(format::kSessionPrefix, at));
  for (const auto& window : core_.index->sessions(id_)) sessions_.restore(window);
  return {};
}

// The present of a group that receives may be half a diff.
std::optional<Sequence> Group::shown() const {
  if (!core_.options.receives) return std::nullopt;
  const auto held = core_.index->snapshots(id_);
  return held.empty() ? std::nullopt : std::optional(held.back().id.sequence);
}

Result<> Group::take_over_received() {
  SQ_CHECK(pending_.empty() && !serving_, "a group that serves takes no diff");
  volumes_.clear();
  SQ_TRY(restore());
  handed_ = last_ = commit_;
  return {};
}

// The same operation may come several times: whole, placed, placed anew. The latest record counts:
// it was written because the one before did not hold what it promised, or held it dearly.
// A term mark voids what an older term left behind above its last sequence.
Result<> Group::replay(const format::Operation& operation, std::vector<Buffer> stored,
                       std::vector<format::StripeDescriptor> stripes, LanePosition position) {
  if (operation.type == OperationType::kTermMark && !SQ_PLANTED("void_tail_kept")) {
    const auto& term = std::get<format::TermBody>(operation.body);
    for (auto it = replay_.upper_bound(term.last); it != replay_.end();) {
      const bool older = it->second->operation.epoch.number < operation.epoch.number;
      it = older ? replay_.erase(it) : std::next(it);
    }
    terms_.push_back({operation.epoch.number, term.last});
  }
  commit_seen_ = std::max(commit_seen_, operation.commit);
  if (operation.sequence <= applied_) return {};
  for (const auto& term : terms_)
    if (operation.epoch.number < term.epoch && operation.sequence > term.last &&
        !SQ_PLANTED("void_tail_kept"))
      return {};
  auto& logged = replay_[operation.sequence];
  if (logged != nullptr && logged->operation.epoch != operation.epoch)
    return Error{Code::kCorrupt, "two terms claim operation " +
                                     std::to_string(operation.sequence.value) + " of group " +
                                     std::to_string(id_.value)};
  if (logged == nullptr) logged = std::make_shared<LoggedOperation>();
  logged->operation = operation;
  logged->durable = logged->sealed = true;
  logged->stored = std::move(stored);
  logged->stripes = std::move(stripes);
  logged->stored_bytes = 0;
  for (const auto& buffer : logged->stored) logged->stored_bytes += buffer.size();
  logged->hold = core_.ledger.hold(position);
  return {};
}

Result<> Group::adopt_tail() {
  for (auto& [sequence, logged] : replay_) {
    if (sequence != commit_.next()) {
      SQ_PROBE("recovery left an unacknowledged tail behind a gap");
      break;
    }
    const auto expected = format::chain_hash(chain_, logged->operation);
    if (expected != logged->operation.chain)
      return Error{Code::kCorrupt, "operation " + std::to_string(sequence.value) + " of group " +
                                       std::to_string(id_.value) +
                                       " does not continue the group's chain"};
    chain_ = expected;
    // What does not fit into the budget goes over it, for once: the ring bounds it.
    const auto held = std::min(logged->stored_bytes, core_.write_buffer.total());
    if (core_.write_buffer.try_acquire(held)) logged->held_bytes = held;
    for (const auto& stripe : logged->stripes) SQ_TRY(core_.pool->adopt(stripe));
    incarnation_ = logged->operation.incarnation;
    epoch_ = logged->operation.epoch;
    pending_.push_back(logged);
    ++replayed_;
    SQ_TRY(enter(logged));
  }
  replay_.clear();
  // What was acknowledged once must be here: a hole below it is damage, never the end of the log.
  if (commit_ < commit_seen_)
    return Error{Code::kDataLoss, "group " + std::to_string(id_.value) +
                                      ": the journal says that operations up to " +
                                      std::to_string(commit_seen_.value) +
                                      " were acknowledged, but only " +
                                      std::to_string(commit_.value) + " are there"};
  handed_ = last_ = commit_;
  return {};
}

Async<> Group::begin_term(Epoch epoch) {
  const auto old_epoch = std::exchange(epoch_, epoch);
  const bool fresh = commit_ == Sequence{};
  if (fresh) incarnation_ = Incarnation(core_.env.random.draw<std::uint64_t>());
  clock_.start(core_.env.loop.wall(), core_.env.loop.now());
  serving_ = true;
  Draft mark{OperationType::kTermMark, format::TermBody{old_epoch, commit_, chain_}, {}};
  SQ_CO_TRY(co_await log(std::move(mark)));
  if (next_volume_ == 1 && volumes_.empty()) SQ_CO_TRY(co_await put_group_record(next_volume_));
  co_return {};
}

}  // namespace square::store
