#include "pool/pool_impl.hpp"

#include <algorithm>

#include "base/probe.hpp"
#include "pool/layout.hpp"
#include "pool/parallel.hpp"

namespace square::pool {

using State = SegmentTable::State;

Pool::Impl::Impl(env::Env env_, env::DiskOptions disk_options_, CellId cell_, NodeId node_,
                 Membership membership, std::vector<format::CheckpointRef> named)
    : env(env_),
      disk_options(disk_options_),
      cell(cell_),
      node(node_),
      members(std::make_shared<Members>(env.loop, std::move(membership), cell, node)),
      segments(std::make_shared<SegmentTable>(members->geometry())),
      prompt(env.loop, members),
      stripes(env.loop, members, segments, prompt),
      checkpoints(members, segments, stripes, env.loop, std::move(named)),
      summaries(env.loop, members, segments, stripes),
      pacer(env.loop),
      repair(env.loop, members, segments, stripes, checkpoints, summaries, pacer),
      retirement(env.loop, members, segments, pacer),
      gate(std::make_shared<CallGate>(env.loop)),
      scope_(env.loop) {
  stripes.find_index_stripe = [this](const StripeKey& key) { return checkpoints.find(key); };
  stripes.mend = [this](const format::StripeDescriptor& stripe) {
    if (!serving_ || gate->stopping) return;
    repair.add_damaged(stripe);
    if (std::exchange(mending_, true)) return;
    scope_.spawn(run_mend());
  };
  retirement.inspect = [this](SegmentId id) { return repair.inspect(id); };
  segments->on_closed = [this](SegmentId id) { summaries.want(id); };
  prompt.on_aside = [this](Slot slot) { set_aside(slot); };
  segments->on_discard = [this](SegmentId id) { scope_.spawn(discard(id)); };
}

Pool::Impl::~Impl() {
  segments->on_discard = nullptr;
  segments->on_closed = nullptr;
  stripes.mend = nullptr;
  for (const auto& disk : members->all()) disk->on_failed = nullptr;
}

void Pool::Impl::watch(const MemberDiskPtr& disk) {
  disk->on_failed = [this](MemberDisk& failed) { disk_failed(failed); };
  if (disk->failed()) disk_failed(*disk);
}

void Pool::Impl::disk_failed(MemberDisk& disk) {
  const auto slot = members->note_failed(disk);
  retirement.look();
  if (!slot) return;
  segments->close_open_segments_with(*slot);
  if (!serving_) {
    lost_before_serving_.push_back(*slot);
    return;
  }
  if (on_slot_lost_) on_slot_lost_(*slot);
  if (!gate->stopping) scope_.spawn(tell_labels());
}

// New stripes do without it, and the journal's live records get copies elsewhere.
void Pool::Impl::set_aside(Slot slot) {
  segments->close_open_segments_with(slot);
  if (on_slot_lost_) on_slot_lost_(slot);
}

void Pool::Impl::judge_speed() {
  for (const auto slot : members->look_at_speed())
    if (on_slot_joined) on_slot_joined(slot);
}

// So that the disk cannot come back as if nothing had happened.
Task<void> Pool::Impl::tell_labels() {
  ignore(co_await members->write_labels(), "a disk that fails here says so itself");
}

void Pool::Impl::serve(std::uint32_t epoch, StripeCatalog* catalog,
                       std::function<void(Slot)> on_slot_lost) {
  SQ_CHECK(!serving_, "served twice");
  serving_ = true;
  segments->serve(epoch);
  stripes.catalog = catalog;
  on_slot_lost_ = std::move(on_slot_lost);
  for (const auto id : segments->closed_data_segments())
    if (!segments->at(id).summarized) summaries.want(id);
  summarize();
  if (lost_before_serving_.empty()) return;
  for (const auto slot : std::exchange(lost_before_serving_, {}))
    if (on_slot_lost_) on_slot_lost_(slot);
  scope_.spawn(tell_labels());
}

Task<void> Pool::Impl::discard(SegmentId id) {
  const auto& geometry = members->geometry();
  std::vector<MemberDiskPtr> disks;
  for (const auto slot : segments->at(id).slots)
    if (const auto disk = members->live(slot)) disks.push_back(disk);
  for (const auto& disk : disks)
    co_await disk->discard(chunk_offset(geometry, id), geometry.chunk_bytes);
  segments->discarded(id);
  if (on_segment_freed) on_segment_freed();
}

void Pool::Impl::summarize() {
  if (!serving_ || gate->stopping || summarizing_ || !summaries.any_ready()) return;
  summarizing_ = true;
  scope_.spawn(run_summaries());
}

Task<void> Pool::Impl::run_summaries() {
  co_await summaries.write_wanted();
  summarizing_ = false;
}

PoolStatus Pool::Impl::status() const {
  PoolStatus out;
  out.geometry = members->geometry();
  out.members_live = static_cast<std::uint16_t>(members->live_slots().size());
  out.members_missing = static_cast<std::uint16_t>(members->missing_slots().size());
  out.spares_free = static_cast<std::uint16_t>(std::ranges::count_if(
      members->spares(), [this](const auto& s) { return members->is_free(*s); }));
  const auto segment_bytes = std::uint64_t{out.geometry.k} * segments->data_bytes_max();
  out.capacity_bytes = segment_bytes * out.geometry.chunks;
  out.segments_free = segments->count(State::kFree);
  out.segments_open = segments->count(State::kOpen);
  out.segments_closed = segments->size() - out.segments_free - out.segments_open;
  out.segments_thin = static_cast<std::uint32_t>(segments->thin_segments(out.geometry.m).size());
  out.free_bytes = segment_bytes * out.segments_free;
  out.free_fresh_bytes = segment_bytes * segments->free_for(StripeClass::kFresh);
  const auto& counters = stripes.counters;
  out.corruptions_found = counters.corruptions_found;
  out.corruptions_repaired = counters.corruptions_repaired;
  out.races = counters.races;
  out.races_won = counters.races_won;
  out.races_refused = counters.races_refused;
  out.written_data_bytes = counters.data_bytes;
  out.written_parity_bytes = counters.parity_bytes;
  out.written_summary_bytes = counters.summary_bytes;
  out.written_checkpoint_bytes = counters.checkpoint_bytes;
  out.written_rebuild_bytes = counters.rebuilt_bytes;
  out.written_journal_bytes = journal_bytes_written;
  out.written_label_bytes = members->label_bytes_written();
  out.pool_generation = members->generation();
  out.rebuild = repair.rebuild_status();
  // Also before the first stripe (the journal's copies come first), but not when it cannot go on.
  std::uint32_t whole = 0, filling = 0;
  for (const auto slot : members->live_slots()) ++(members->rebuilding(slot) ? filling : whole);
  if (filling > 0 && whole >= out.geometry.k) out.rebuild.active = true;
  out.scrub = repair.scrub_status();
  out.scrub.active = scrubbing_;  // from the moment it was asked for
  out.retirement = retirement.status();
  return out;
}

DiskStatus Pool::Impl::status_of(Slot slot) const {
  DiskStatus out;
  out.slot = slot;
  out.id = members->table()[slot.value].disk;
  const auto& failure = members->failures()[slot.value];
  if (const auto disk = members->joining(slot) ? members->joining(slot) : members->live(slot)) {
    out.path = disk->path();
    out.size_bytes = disk->size_bytes();
    out.state = members->rebuilding(slot) ? DiskState::kRebuilding : DiskState::kMember;
    out.read_errors = disk->read_errors;
    out.write_errors = disk->write_errors;
    out.corruptions = disk->corruptions;
    out.aside = members->aside(slot);
    out.slow = members->slow(slot);
    if (const auto twin = members->twin(slot)) {
      out.why = "being retired: " + twin->path() + " takes its place";
    } else if (out.slow) {
      out.why = "slow: its requests take many times as long as those of its peers";
    } else if (out.aside) {
      out.why = "set aside for a while: a write was much later than its peers usually take";
    }
    for (SegmentId id; id.value < segments->size(); id = id.next()) {
      const auto& slots = segments->at(id).slots;
      if (segments->in_use(id) && std::ranges::find(slots, slot) != slots.end())
        out.live_bytes += members->geometry().chunk_bytes;
    }
  } else if (failure && failure->id == out.id) {
    out.path = failure->path;
    out.state = DiskState::kFailed;
    out.why = failure->why;
    out.read_errors = failure->read_errors;
    out.write_errors = failure->write_errors;
    out.corruptions = failure->corruptions;
  } else {
    out.why = "no disk with this id among the configured paths";
  }
  return out;
}

DiskStatus Pool::Impl::status_of(const MemberDisk& spare) const {
  DiskStatus out;
  out.id = spare.label.disk;
  out.path = spare.path();
  out.size_bytes = spare.size_bytes();
  out.state = spare.failed() ? DiskState::kFailed : DiskState::kSpare;
  out.why = spare.why();
  if (const auto slot = members->twin_of(spare))
    out.why = "being filled: it takes slot " + std::to_string(slot->value);
  out.read_errors = spare.read_errors;
  out.write_errors = spare.write_errors;
  return out;
}

std::vector<DiskStatus> Pool::Impl::disks() const {
  std::vector<DiskStatus> out;
  for (Slot slot; slot < members->slots_end(); slot = slot.next()) out.push_back(status_of(slot));
  for (const auto& spare : members->spares()) out.push_back(status_of(*spare));
  for (std::size_t slot = 0; slot < members->failures().size(); ++slot) {
    const auto& failure = members->failures()[slot];
    if (!failure || failure->id == out[slot].id) continue;
    auto& status = out.emplace_back();
    status.id = failure->id;
    status.path = failure->path;
    status.state = DiskState::kFailed;
    status.why = failure->why + "; replaced in slot " + std::to_string(slot);
  }
  for (const auto& disk : members->bystanders()) {
    // The disk that its slot knows by name explains why the slot is empty.
    const bool explains = disk.slot && out[disk.slot->value].id == disk.id &&
                          out[disk.slot->value].state == DiskState::kMissing;
    auto& status = explains ? out[disk.slot->value] : out.emplace_back();
    status.id = disk.id;
    status.path = disk.path;
    status.state = disk.state;
    status.why = disk.why;
    status.size_bytes = disk.size_bytes;
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i].slot = Slot(static_cast<std::uint16_t>(i));
  return out;
}

Async<> Pool::Impl::fail_disk(Slot slot, std::string why) {
  const auto first_spare = members->slots_end().value;
  if (slot.value >= first_spare) {
    const std::size_t spare = slot.value - first_spare;
    if (spare >= members->spares().size() || members->spares()[spare]->failed())
      co_return Error{Code::kNotFound, "no live disk in slot " + std::to_string(slot.value)};
    members->spares()[spare]->fail(std::move(why));
    co_return Result<>();
  }
  const auto disk = members->live(slot);
  if (!disk) co_return Error{Code::kNotFound, "slot " + std::to_string(slot.value) + " is empty"};
  if (!members->rebuilding(slot) && members->whole_count() <= members->geometry().k)
    co_return Error{Code::kConflict, "fewer than k = " + std::to_string(members->geometry().k) +
                                         " whole members would be left: data would be lost"};
  disk->fail(std::move(why));
  disk_failed(*disk);
  co_return co_await members->write_labels();
}

std::string Pool::Impl::take_spares() {
  std::string what;
  for (const auto slot : members->missing_slots()) {
    if (const auto disk = members->joining(slot)) {
      what += "slot " + std::to_string(slot.value) + ": " + disk->path() + " still takes it; ";
      continue;
    }
    auto spare = members->free_spare();
    // Redundancy that is gone comes before a disk that still works.
    if (!spare)
      ignore(retirement.give_up("slot " + std::to_string(slot.value) + " needs the spare"),
             "there may be none");
    if (!spare) spare = members->free_spare();
    if (!spare) break;
    // A disk that has failed this moment is announced before its slot is given away.
    if (members->holds_failed(slot)) continue;
    members->take_slot(slot, spare);
    rebuild_resumes_ = false;
    what += "slot " + std::to_string(slot.value) + ": spare " + spare->path() + " takes it; ";
  }
  return what;
}

Async<std::string> Pool::Impl::reconcile() {
  if (!serving_) co_return Error{Code::kUnavailable, "the pool does not serve yet"};
  std::vector<Async<>> checks;
  for (const auto& disk : members->all())
    if (!disk->failed()) checks.push_back(disk->check_path());
  for (const auto& result : co_await run_all(env.loop, std::move(checks)))
    ignore(result, "the disk has failed, and is announced");
  co_await env::yield(env.loop);
  summaries.retry();
  summarize();
  judge_speed();
  retirement.look();
  std::string what;
  if (rebuilding_) co_return what;
  if (members->whole_count() < members->geometry().k) {
    // A spare in the place of a disk that comes back would make its data foreign.
    SQ_PROBE("more than m members were away, and none was replaced");
    co_return "more than m members are away: none is replaced; bring disks back and restart";
  }
  repair.report_thin_stripes();
  const auto live = members->live_slots();
  const bool interrupted =
      std::ranges::any_of(live, [&](Slot slot) { return members->rebuilding(slot); });
  what = take_spares();
  if (what.empty() && !interrupted) co_return retire_slow();
  if (interrupted) rebuild_resumes_ = true;
  // Who holds which slot is on every disk before anything is written for it.
  rebuilding_ = true;
  auto labelled = co_await members->write_labels();
  if (!labelled.ok()) {
    rebuilding_ = false;
    co_return std::move(labelled).error();
  }
  members->seat_joined();
  if (interrupted) SQ_PROBE("an interrupted rebuild went on");
  const auto filling = [this](Slot slot) { return members->rebuilding(slot); };
  rebuilding_ = std::ranges::any_of(members->live_slots(), filling);
  if (!rebuilding_) co_return what;
  scope_.spawn(run_rebuild(rebuild_resumes_));
  co_return what + "rebuild began";
}

Task<void> Pool::Impl::run_rebuild(bool look) {
  co_await repair.rebuild(look);
  rebuilding_ = false;
}

Result<> Pool::Impl::retire_disk(Slot slot, std::optional<DiskId> by) {
  if (!serving_ || gate->stopping) return Error{Code::kUnavailable, "the pool does not serve"};
  SQ_TRY(retirement.begin(slot, by));
  scope_.spawn(run_retirement());
  return {};
}

Task<void> Pool::Impl::run_retirement() { co_await retirement.run(); }

// One that has been much slower than its peers for long, when nothing else needs the spare.
std::string Pool::Impl::retire_slow() {
  const auto now = env.loop.now();
  if (retire_slow_after == env::Duration{} || now < retire_slow_again_ || retirement.active())
    return {};
  for (const auto slot : members->live_slots()) {
    const auto since = members->slow_since(slot);
    if (!since || now - *since < retire_slow_after || !members->free_spare()) continue;
    retire_slow_again_ = now + retire_slow_after;
    const auto begun = retire_disk(slot, std::nullopt);
    if (!begun.ok()) continue;
    SQ_PROBE("a slow disk is retired");
    return "slot " + std::to_string(slot.value) + " has been slow for long: it is retired; ";
  }
  return {};
}

Result<> Pool::Impl::start_scrub(SegmentId from) {
  if (scrubbing_) return Error{Code::kBusy, "a scrub is running"};
  if (!serving_ || gate->stopping) return Error{Code::kUnavailable, "the pool does not serve"};
  scrubbing_ = true;
  repair.begin_scrub(from);
  scope_.spawn(run_scrub());
  return {};
}

Task<void> Pool::Impl::run_scrub() {
  co_await repair.scrub();
  scrubbing_ = false;
}

Task<void> Pool::Impl::run_mend() {
  co_await repair.mend();
  mending_ = false;
}

Task<void> Pool::Impl::stop() {
  gate->stopping = true;
  repair.stop();
  retirement.stop();
  summaries.stop();
  co_await gate->idle.wait();
  co_await scope_.join();
  co_await stripes.join();
  co_await prompt.join();
  co_await scope_.join();  // the last reader of a freed segment has it discarded
  co_await members->join();
  for (const auto& disk : members->all()) co_await disk->join();
}

}  // namespace square::pool
