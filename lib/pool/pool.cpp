#include "pool/pool.hpp"

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
std::vector<DiskStatus> Pool::disks() const { return impl_->disks(); }

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

Async<> Pool::confirm_checkpoint() {
  const CallPass pass(impl_->gate);
  co_return co_await impl_->checkpoints.confirm();
}

Result<> Pool::adopt(const format::StripeDescriptor& stripe, bool indexed) {
  SQ_TRY(impl_->segments->adopt(stripe, StripeClass::kFresh));
  if (!indexed) impl_->stripes.note_adopted(stripe);
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
  ++impl_->repair.client_calls;
  co_return co_await impl_->stripes.write(kind, std::move(items));
}

void Pool::forget_stripe(const format::StripeDescriptor& stripe) {
  impl_->stripes.forget(key_of(stripe));
}

void Pool::stripe_is_indexed(const format::StripeDescriptor& stripe) {
  impl_->stripes.forget(key_of(stripe));
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
  ++impl_->repair.client_calls;
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

void Pool::release_segment(SegmentId segment) {
  impl_->stripes.segment_released(segment);
  impl_->segments->release(segment);
}

// ---- disks by hand, and repair

Async<> Pool::fail_disk(Slot slot, std::string why) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->fail_disk(slot, std::move(why));
}

Async<> Pool::add_disk(std::string path) {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->add_disk(std::move(path));
}

Async<std::string> Pool::reconcile() {
  const CallPass pass(impl_->gate);
  if (pass.refused()) co_return CallPass::refusal();
  co_return co_await impl_->reconcile();
}

void Pool::before_rebuild(std::function<Task<void>()> wait) {
  impl_->repair.before_rebuild = std::move(wait);
}

Result<> Pool::start_scrub(SegmentId from) { return impl_->start_scrub(from); }
void Pool::set_repair_pace(RepairPace pace) { impl_->repair.pace = pace; }

Task<void> Pool::stop() { return impl_->stop(); }

}  // namespace square::pool
