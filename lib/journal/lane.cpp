#include "journal/lane.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "journal/lane_impl.hpp"

namespace square::journal {

Lane::Impl::Impl(env::Env env, JournalDisks& disks, LaneConfig config)
    : loop_(env.loop),
      disks_(disks),
      core_(config),
      work_(env.loop),
      copies_work_(env.loop),
      copies_done_(env.loop),
      scope_(env.loop) {}

std::string Lane::Impl::named(std::string_view what) const {
  return "journal lane " + std::to_string(core_.config().lane) + ": " + std::string(what);
}

Error Lane::Impl::unavailable() const {
  return {Code::kUnavailable,
          named(halted_ ? "no disk takes writes" : "stopped, or not started yet")};
}

void Lane::Impl::start(Epoch epoch, std::function<void(const DurableRecord&)> on_durable) {
  SQ_CHECK(phase_ == Phase::kRestored, "a lane starts after its copies are restored");
  SQ_CHECK(epoch.number > highest_epoch_.number || highest_epoch_ == Epoch{},
           "a lane goes on in a newer epoch than it finds");
  phase_ = Phase::kServing;
  epoch_ = epoch;
  on_durable_ = std::move(on_durable);
  scope_.spawn(run_pump());
  scope_.spawn(run_copier());
}

namespace {

Async<LanePosition> wait_for(AppendPtr append) {
  co_await append->done.wait();
  co_return std::move(append->result);
}

Async<std::uint64_t> wait_for_room(AppendPtr append) {
  co_await append->done.wait();
  SQ_CO_TRY(append->result);
  co_return append->asks_bytes;
}

template <class T>
Async<T> refuse(Error error) {
  co_return error;
}

}  // namespace

Async<LanePosition> Lane::Impl::append(BufferChain record, Reserve reserve,
                                       std::uint64_t promised_bytes) {
  if (total_size(record) > core_.record_bytes_max())
    return refuse<LanePosition>({Code::kInvalid, named("record larger than a batch may be")});
  if (!serving()) return refuse<LanePosition>(unavailable());
  auto append = std::make_shared<Append>(loop_, std::move(record), reserve);
  append->promised_bytes = promised_bytes;
  queue_.push(append);
  work_.set();
  return wait_for(std::move(append));
}

Async<std::uint64_t> Lane::Impl::reserve(std::uint64_t first_bytes, std::uint64_t second_bytes) {
  if (std::max(first_bytes, second_bytes) > core_.record_bytes_max())
    return refuse<std::uint64_t>({Code::kInvalid, named("room for more than a batch may have")});
  if (!serving()) return refuse<std::uint64_t>(unavailable());
  auto append = std::make_shared<Append>(loop_, BufferChain{}, Reserve::kOrdinary);
  append->asks_bytes = LaneCore::alone_bytes(first_bytes);
  if (second_bytes > 0) append->asks_bytes += LaneCore::alone_bytes(second_bytes);
  queue_.push(append);
  work_.set();
  return wait_for_room(std::move(append));
}

void Lane::Impl::give_back(std::uint64_t promised_bytes) {
  core_.redeem(promised_bytes);
  work_.set();
}

Task<void> Lane::Impl::run_pump() {
  while (serving()) {
    work_.reset();
    if (live_slots().empty()) halt();
    while (serving() && in_flight_.size() < core_.config().batches_in_flight_max)
      if (!start_next_batch()) break;
    if (serving()) co_await work_.wait();
  }
}

namespace {

std::uint64_t batch_bytes(std::uint64_t body_bytes) {
  return align_up(format::kJournalHeaderBytes + body_bytes, kBlockBytes);
}

}  // namespace

Lane::Impl::Plan Lane::Impl::plan_batch() {
  Plan plan;
  std::uint64_t body_bytes = 0;
  auto blocked = AppendQueue::kNoneBlocked;
  const auto to_ring_end = core_.bytes_to_ring_end();
  const auto block = [&](const Append& append) {
    SQ_PROBE("journal append waits for room");
    blocked = static_cast<int>(append.reserve);
    plan.blocked = true;
  };
  while (const auto* append = queue_.front(blocked)) {
    if (append->asks_bytes > 0) {
      const auto planned = plan.records.empty() ? 0 : batch_bytes(body_bytes);
      if (!core_.can_promise(append->asks_bytes, planned)) {
        block(*append);
        continue;
      }
      core_.promise(append->asks_bytes);
      queue_.take(*append)->done.set();
      continue;
    }
    const auto body = body_bytes + format::journal_record_bytes(append->size);
    const auto length = batch_bytes(body);
    if (length > core_.batch_bytes_max()) break;
    const bool over_end = length > to_ring_end;
    if (over_end && !plan.records.empty()) break;
    const bool promised = append->reserve == Reserve::kPromised;
    if (!promised && !core_.fits(length + (over_end ? to_ring_end : 0), append->reserve)) {
      block(*append);
      continue;
    }
    plan.filler = over_end;
    if (over_end) break;
    body_bytes = body;
    plan.records.push_back(queue_.take(*append));
    core_.redeem(plan.records.back()->promised_bytes);
  }
  return plan;
}

bool Lane::Impl::start_next_batch() {
  auto plan = plan_batch();
  waits_for_room_ = plan.blocked;
  if (!plan.records.empty()) {
    start_batch(std::move(plan.records), 0);
  } else if (plan.filler) {
    SQ_PROBE("journal filler before the ring's end");
    start_batch({}, static_cast<std::uint32_t>(core_.bytes_to_ring_end()));
  } else if (plan.blocked && core_.tail_untold() && core_.fits(kBlockBytes, Reserve::kTail)) {
    SQ_PROBE("journal batch that only tells the tail");
    start_batch({}, 0);
  } else {
    return false;
  }
  return true;
}

void Lane::Impl::start_batch(std::vector<AppendPtr> appends, std::uint32_t filler_bytes) {
  auto header = core_.next_header(epoch_);
  header.length = filler_bytes;
  std::vector<BufferChain> records;
  for (const auto& append : appends) records.push_back(std::move(append->record));
  auto batch = format::encode_journal_batch(header, records);
  core_.add(batch.header);
  ++stats_.batches;
  auto started = std::make_shared<InFlight>(loop_, std::move(batch), std::move(appends));
  in_flight_.push_back(started);
  scope_.spawn(run_batch(std::move(started)));
}

Task<void> Lane::Impl::run_batch(InFlightPtr batch) {
  const Busy busy(core_.config().activities, Activity::kJournal);
  while (!batch->durable && !halted_) {
    batch->changed.reset();
    const auto live = live_slots();
    if (live.empty()) {
      halt();
      break;
    }
    write_missing_copies(batch, live);
    if (flushed(*batch)) advance();
    if (SQ_PLANTED("lane_order") && !batch->durable && flushed(*batch)) report(*batch);
    if (!batch->durable && !halted_) co_await batch->changed.wait();
  }
}

void Lane::Impl::write_missing_copies(const InFlightPtr& batch, const std::vector<Slot>& live) {
  auto expected = *core_.find(batch->position());
  expected.good.insert(expected.good.end(), batch->writing.begin(), batch->writing.end());
  for (const auto slot : core_.slots_to_write(expected, live)) {
    batch->writing.insert(slot);
    scope_.spawn(write_copy(batch, slot));
  }
}

Task<void> Lane::Impl::write_copy(InFlightPtr batch, Slot slot) {
  const auto losses_before = losses(slot);
  BufferChain chain{batch->batch.bytes};
  auto done =
      co_await disks_.write(slot, core_.journal_offset(batch->position()), std::move(chain));
  if (done.ok() && !SQ_PLANTED("ack_before_flush")) done = co_await disks_.flush(slot);
  batch->writing.erase(slot);
  if (!done.ok()) {
    SQ_PROBE("journal copy of a batch in flight failed");
    request_failed(slot, losses_before);
  } else if (losses(slot) == losses_before) {
    core_.add_copy(batch->position(), slot);
    stats_.written_bytes += batch->batch.bytes.size();
  }
  batch->changed.set();
}

bool Lane::Impl::flushed(const InFlight& batch) const {
  const auto live = live_slots();
  const auto* kept = const_cast<LaneCore&>(core_).find(batch.position());
  return kept != nullptr && !live.empty() && core_.slots_to_write(*kept, live).empty();
}

void Lane::Impl::advance() {
  while (!in_flight_.empty() && flushed(*in_flight_.front())) {
    const auto batch = in_flight_.front();
    in_flight_.pop_front();
    core_.advance();
    batch->durable = true;
    batch->changed.set();
    report(*batch);
  }
  work_.set();
  if (maybe_lacking_) copies_work_.set();  // what lacked copies may be forgotten by now
}

void Lane::Impl::report(InFlight& batch) {
  if (std::exchange(batch.reported, true)) return;
  const auto& header = batch.batch.header;
  DurableRecord record{header.position, header.end(), 0, header.epoch, {}};
  for (const auto& bytes : batch.batch.records) {
    record.bytes = bytes;
    stats_.records += 1;
    stats_.record_bytes += bytes.size();
    on_durable_(record);
    batch.appends[record.index]->result = header.position;
    batch.appends[record.index]->done.set();
    ++record.index;
  }
}

void Lane::Impl::set_tail(LanePosition tail) {
  core_.set_tail(tail);
  work_.set();
}

void Lane::Impl::tail_is_in_checkpoint(LanePosition tail) {
  core_.tail_is_in_checkpoint(tail);
  work_.set();
  copies_work_.set();
}

std::vector<Slot> Lane::Impl::live_slots() const {
  auto slots = disks_.live_slots();
  std::erase_if(slots, [this](Slot slot) { return distrusted_.contains(slot); });
  return slots;
}

std::uint64_t Lane::Impl::losses(Slot slot) const {
  const auto at = losses_.find(slot);
  return at == losses_.end() ? 0 : at->second;
}

void Lane::Impl::request_failed(Slot slot, std::uint64_t losses_before) {
  if (losses(slot) != losses_before) return;
  slot_lost(slot);
  distrusted_.insert(slot);
}

void Lane::Impl::read_failed(Slot slot, std::uint64_t losses_before) {
  const auto live = disks_.live_slots();
  if (std::find(live.begin(), live.end(), slot) == live.end()) request_failed(slot, losses_before);
}

void Lane::Impl::slot_lost(Slot slot) {
  distrusted_.erase(slot);
  ++losses_[slot];
  ++losses_total_;
  core_.lose(slot);
  if (finder_) finder_->lose(slot);
  maybe_lacking_ = true;
  for (const auto& batch : in_flight_) batch->changed.set();
  work_.set();
  copies_work_.set();
}

void Lane::Impl::slot_joined(Slot slot) {
  distrusted_.erase(slot);
  maybe_lacking_ = true;
  copies_work_.set();
}

void Lane::Impl::halt() {
  if (std::exchange(halted_, true)) return;
  SQ_PROBE("journal halted");
  for (const auto& batch : std::exchange(in_flight_, {})) {
    for (const auto& append : batch->appends) {
      append->result = unavailable();
      append->done.set();
    }
    batch->changed.set();
  }
  fail_waiting();
}

// What is in no batch yet ends here; the pump and the copier end too.
void Lane::Impl::fail_waiting() {
  while (const auto* append = queue_.front(AppendQueue::kNoneBlocked)) {
    const auto taken = queue_.take(*append);
    taken->result = unavailable();
    taken->done.set();
  }
  work_.set();
  copies_work_.set();
  copies_done_.pulse();
}

Task<void> Lane::Impl::stop() {
  stopping_ = true;
  fail_waiting();
  co_await scope_.join();
}

Lane::Lane(env::Env env, JournalDisks& disks, LaneConfig config)
    : impl_(std::make_unique<Impl>(env, disks, config)) {}
Lane::~Lane() = default;

Async<RecoveredLane> Lane::recover(LanePoint tail) { return impl_->recover(tail); }
Async<> Lane::restore_copies() { return impl_->restore_copies(); }
void Lane::start(Epoch epoch, std::function<void(const DurableRecord&)> on_durable) {
  impl_->start(epoch, std::move(on_durable));
}
Async<LanePosition> Lane::append(BufferChain record, Reserve reserve) {
  SQ_CHECK(reserve != Reserve::kPromised, "a promise is redeemed with its Room");
  return impl_->append(std::move(record), reserve, 0);
}
Lane::Room::~Room() {
  if (lane_ != nullptr) lane_->impl_->give_back(bytes_);
}
Async<Lane::Room> Lane::reserve(std::uint64_t record_bytes) {
  SQ_CO_TRY(const auto bytes, co_await impl_->reserve(record_bytes));
  co_return Room(*this, bytes);
}
Async<std::pair<Lane::Room, Lane::Room>> Lane::reserve(std::uint64_t first_bytes,
                                                       std::uint64_t second_bytes) {
  SQ_CO_TRY(const auto bytes, co_await impl_->reserve(first_bytes, second_bytes));
  const auto first = LaneCore::alone_bytes(first_bytes);
  co_return std::pair(Room(*this, first), Room(*this, bytes - first));
}
Async<LanePosition> Lane::append(BufferChain record, Room room) {
  SQ_CHECK(room.lane_ == this && LaneCore::alone_bytes(total_size(record)) <= room.bytes_,
           "a record without the room that it was promised");
  room.lane_ = nullptr;
  return impl_->append(std::move(record), Reserve::kPromised, room.bytes_);
}
bool Lane::waits_for_room() const { return impl_->waits_for_room(); }
void Lane::set_tail(LanePosition tail) { impl_->set_tail(tail); }
void Lane::tail_is_in_checkpoint(LanePosition tail) { impl_->tail_is_in_checkpoint(tail); }
void Lane::slot_lost(Slot slot) { impl_->slot_lost(slot); }
void Lane::slot_joined(Slot slot) { impl_->slot_joined(slot); }
bool Lane::copies_whole() const { return impl_->copies_whole(); }
Task<void> Lane::wait_copies_whole() { return impl_->wait_copies_whole(); }
LanePosition Lane::tail() const { return impl_->core().tail(); }
LanePoint Lane::tail_point() const { return impl_->core().tail_point(); }
LanePosition Lane::durable() const { return impl_->core().durable(); }
LanePosition Lane::next() const { return impl_->core().next(); }
LanePoint Lane::point_at(LanePosition position) const {
  return impl_->core().point_at_or_below(position);
}
LanePoint Lane::durable_point() const { return impl_->core().durable_point(); }
std::uint64_t Lane::used_bytes() const { return next().value - impl_->core().reusable().value; }
std::uint64_t Lane::ring_bytes() const { return impl_->core().config().ring_bytes; }
std::uint32_t Lane::record_bytes_max() const { return impl_->core().record_bytes_max(); }
bool Lane::halted() const { return impl_->halted(); }
const Lane::Stats& Lane::stats() const { return impl_->stats(); }
Task<void> Lane::stop() { return impl_->stop(); }

}  // namespace square::journal
