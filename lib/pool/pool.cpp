#include "pool/pool.hpp"

#include <algorithm>
#include <map>

#include "pool/layout.hpp"
#include "pool/pool_impl.hpp"

namespace square::pool {

std::string_view disk_state_name(DiskState state) {
  switch (state) {
    case DiskState::kMember: return "member";
    case DiskState::kSpare: return "spare";
    case DiskState::kRebuilding: return "rebuilding";
    case DiskState::kFailed: return "failed";
    case DiskState::kMissing: return "missing";
    case DiskState::kForeign: return "foreign";
  }
  return "unknown";
}

Pool::Pool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pool::~Pool() = default;

const Geometry& Pool::geometry() const { return impl_->members->geometry(); }
PoolId Pool::id() const { return impl_->members->pool(); }
PoolStatus Pool::status() const { return impl_->status(); }

PoolRoom Pool::room() const {
  const auto& segments = *impl_->segments;
  const std::uint64_t chunk_bytes = segments.data_bytes_max();
  PoolRoom room;
  room.segments = segments.size();
  room.segments_free = segments.count(SegmentTable::State::kFree);
  room.segments_kept = segments.reserve(StripeClass::kFresh);
  room.segments_released = segments.released_waiting();
  room.segments_leaving = segments.count(SegmentTable::State::kReleased) - room.segments_released +
                          segments.count(SegmentTable::State::kDiscarding);
  room.capacity_bytes = geometry().k * chunk_bytes * room.segments;
  room.segment_bytes = stripe_bytes_min() / kBlockBytes * chunk_bytes;
  room.free_fresh_bytes = room.segment_bytes * segments.free_for(StripeClass::kFresh);
  return room;
}

std::vector<DiskStatus> Pool::disks() const { return impl_->disks(); }

std::uint64_t Pool::stripe_bytes_left(StripeClass kind) const {
  return impl_->segments->left_bytes(kind);
}

// ---- journal areas

std::vector<Slot> Pool::live_slots() const { return impl_->members->writable_slots(); }

namespace {

Result<> check_journal_range(const Geometry& geometry, std::uint64_t offset, std::uint64_t size) {
  if (offset > geometry.journal_bytes || size > geometry.journal_bytes - offset)
    return Error{Code::kInvalid, "outside the journal area"};
  return {};
}

Error empty_slot(Slot slot) {
  return {Code::kIo, "slot " + std::to_string(slot.value) + " has no live disk"};
}

}  // namespace

Async<> Pool::write(Slot slot, std::uint64_t offset, BufferChain chain) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  const auto size = total_size(chain);
  SQ_CO_TRY(check_journal_range(geometry(), offset, size));
  const auto disk = impl_->members->live(slot);
  if (!disk) co_return empty_slot(slot);
  impl_->journal_bytes_written += size;
  auto write = disk->write(journal_offset(offset), std::move(chain));
  co_return co_await impl_->prompt.run(slot, RequestKind::kWrite, size, std::move(write));
}

Async<> Pool::read(Slot slot, std::uint64_t offset, Buffer into) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  SQ_CO_TRY(check_journal_range(geometry(), offset, into.size()));
  const auto disk = impl_->members->live(slot);
  if (!disk) co_return empty_slot(slot);
  co_return co_await disk->read(journal_offset(offset), std::move(into));
}

Async<> Pool::flush(Slot slot) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  const auto disk = impl_->members->live(slot);
  if (!disk) co_return empty_slot(slot);
  co_return co_await impl_->prompt.run(slot, RequestKind::kFlush, 0, disk->flush());
}

// ---- start

Async<std::optional<Checkpoint>> Pool::load_checkpoint() {
  const CallPass pass(impl_->gate);
  co_return co_await impl_->checkpoints.load_newest();
}

Async<std::optional<Checkpoint>> Pool::load_older_checkpoint() {
  const CallPass pass(impl_->gate);
  co_return co_await impl_->checkpoints.load_older();
}

Async<Buffer> Pool::read_checkpoint_file(const CheckpointFile& file, std::uint64_t offset,
                                         std::uint32_t size) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->checkpoints.read_file(file, offset, size);
}

std::uint32_t Pool::last_epoch() const { return impl_->members->epoch; }

Async<> Pool::begin_epoch(std::uint32_t epoch) {
  const CallPass pass(impl_->gate);
  SQ_CHECK(epoch > impl_->members->epoch, "an epoch was used again");
  impl_->members->epoch = epoch;
  co_return co_await impl_->checkpoints.confirm();
}

Result<> Pool::adopt(const format::StripeDescriptor& stripe, bool indexed) {
  SQ_TRY(impl_->segments->adopt(stripe, StripeClass::kFresh));
  if (!indexed)
    impl_->stripes.note_adopted(stripe);
  else if (impl_->segments->at(stripe.segment).generation == stripe.generation)
    impl_->segments->note_indexed(stripe.segment);
  return {};
}

void Pool::serve(std::uint32_t epoch, StripeCatalog* catalog,
                 std::function<void(Slot)> on_slot_lost) {
  impl_->serve(epoch, catalog, std::move(on_slot_lost));
}

void Pool::on_slot_joined(std::function<void(Slot)> joined) {
  impl_->on_slot_joined = std::move(joined);
}

// ---- stripes

Async<WrittenStripe> Pool::write_stripe(StripeClass kind, std::vector<StripeItem> items) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  ++impl_->pacer.client_calls;
  co_return co_await impl_->stripes.write(kind, std::move(items));
}

void Pool::forget_stripe(const format::StripeDescriptor& stripe) {
  impl_->stripes.forget(key_of(stripe));
  impl_->summarize();
}

void Pool::stripe_is_indexed(const format::StripeDescriptor& stripe) {
  if (impl_->stripes.current(stripe)) impl_->segments->note_indexed(stripe.segment);
  if (const auto* written = impl_->stripes.written(key_of(stripe))) impl_->summaries.note(*written);
  impl_->stripes.forget(key_of(stripe));
  impl_->summarize();
}

std::uint64_t Pool::stripe_bytes_max() const {
  return stripe_bytes_min() * strip_blocks_max(geometry());
}

std::uint64_t Pool::stripe_bytes_min() const {
  const auto live = impl_->members->writable_slots().size();
  const std::size_t m = geometry().m, k = geometry().k;
  return (live > m ? std::min(live - m, k) : 1) * kBlockBytes;
}

Async<Buffer> Pool::read_place(const format::Place& place, std::uint32_t size,
                               const Verify& verify) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  ++impl_->pacer.client_calls;
  co_return co_await impl_->stripes.read(place, size, verify);
}

void Pool::on_damaged_stripe(std::function<void(const format::StripeDescriptor&)> damaged) {
  impl_->stripes.on_damaged = std::move(damaged);
}

// ---- checkpoints and freeing

Async<> Pool::write_checkpoint(Checkpoint checkpoint, ReadFile read) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->checkpoints.write(std::move(checkpoint), std::move(read));
}

std::vector<SegmentId> Pool::closed_segments() const {
  auto closed = impl_->segments->closed_data_segments();
  std::erase_if(closed, [&](SegmentId id) { return impl_->stripes.has_unindexed(id); });
  return closed;
}

bool Pool::is_closed(SegmentId id) const {
  const auto& segment = impl_->segments->at(id);
  return segment.state == SegmentTable::State::kClosed && segment.kind != StripeClass::kIndex &&
         !impl_->stripes.has_unindexed(id);
}

std::vector<SegmentId> Pool::barren_segments() const {
  std::vector<SegmentId> barren;
  for (const auto id : impl_->segments->unindexed_segments())
    if (!impl_->stripes.has_unindexed(id)) barren.push_back(id);
  return barren;
}

void Pool::release_segment(SegmentId segment) {
  impl_->stripes.segment_released(segment);
  impl_->segments->release(segment);
  impl_->summaries.forget(segment);
}

void Pool::on_segment_freed(std::function<void()> freed) {
  impl_->on_segment_freed = std::move(freed);
}

// ---- segment summaries, and losses

std::optional<SegmentView> Pool::segment(SegmentId id) const {
  const auto& segments = *impl_->segments;
  if (id.value >= segments.size() || !segments.in_use(id)) return std::nullopt;
  const auto& segment = segments.at(id);
  SegmentView view;
  view.id = id;
  view.generation = segment.generation;
  view.kind = segment.kind;
  view.k = segment.k;
  view.m = segment.m;
  view.slots = segment.slots;
  view.closed = segment.state == SegmentTable::State::kClosed;
  view.unindexed = impl_->stripes.has_unindexed(id);
  view.summary = segment.summarized         ? SegmentView::Summary::kWritten
                 : impl_->summaries.due(id) ? SegmentView::Summary::kDue
                                            : SegmentView::Summary::kNone;
  return view;
}

std::vector<Slot> Pool::slots_of(SegmentId id, std::uint32_t stripe_block) const {
  return rotated(impl_->segments->at(id).slots, id, stripe_block);
}

Async<format::SegmentSummary> Pool::read_summary(SegmentId segment) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->summaries.read(segment);
}

std::vector<SegmentId> Pool::segments_with_losses() const {
  const auto& segments = *impl_->segments;
  std::map<SegmentId, std::size_t> damaged;  // strips of the worst stripe
  for (const auto& [key, strips] : impl_->stripes.damaged_stripes())
    damaged[key.segment] = std::max(damaged[key.segment], strips);
  std::vector<SegmentId> found;
  for (SegmentId id; id.value < segments.size(); id = id.next()) {
    const auto& segment = segments.at(id);
    if (!segments.in_use(id) || segment.kind == StripeClass::kIndex) continue;
    const auto absent = std::ranges::count_if(
        segment.slots, [&](Slot slot) { return !impl_->members->holder(slot, id); });
    const auto rotten = damaged.find(id);
    const auto gone = static_cast<std::size_t>(absent) +
                      (rotten == damaged.end() ? std::size_t{0} : rotten->second);
    if (gone > segment.m) found.push_back(id);
  }
  return found;
}

bool Pool::is_whole(const format::StripeDescriptor& stripe) const {
  return std::ranges::all_of(stripe.slots, [&](Slot slot) {
    return impl_->members->holder(slot, stripe.segment) != nullptr;
  });
}

bool Pool::is_lost(const format::StripeDescriptor& stripe, std::uint32_t byte_offset,
                   std::uint32_t size) const {
  if (!impl_->stripes.current(stripe) || size == 0) return false;
  const auto gone = impl_->stripes.gone(stripe);
  if (std::ranges::count(gone, true) <= stripe.m) return false;
  const auto strip_bytes = std::uint32_t{stripe.strip_blocks} * kBlockBytes;
  for (auto i = byte_offset / strip_bytes; i <= (byte_offset + size - 1) / strip_bytes; ++i)
    if (i < gone.size() && gone[i]) return true;
  return false;
}

// ---- disks by hand, and repair

Async<> Pool::fail_disk(Slot slot, std::string why) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->fail_disk(slot, std::move(why));
}

Async<DiskId> Pool::add_disk(std::string path) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->add_disk(std::move(path));
}

Result<> Pool::retire_disk(Slot slot, std::optional<DiskId> by) {
  return impl_->retire_disk(slot, by);
}
Result<> Pool::cancel_retirement() { return impl_->retirement.give_up("by command"); }

Async<std::string> Pool::reconcile() {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->reconcile();
}

void Pool::before_rebuild(std::function<Task<void>()> wait) {
  impl_->repair.before_rebuild = std::move(wait);
}

Result<> Pool::start_scrub(SegmentId from) { return impl_->start_scrub(from); }
void Pool::cancel_scrub() { impl_->repair.cancel_scrub(); }
void Pool::set_repair_pace(RepairPace pace) { impl_->pacer.pace = pace; }

Task<void> Pool::stop() { return impl_->stop(); }

}  // namespace square::pool
