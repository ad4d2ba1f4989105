// Copies of batches that are durable already: after a lost disk, and before a term begins.

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "journal/lane_impl.hpp"

namespace square::journal {
namespace {

constexpr std::uint64_t kRoundBytes = 4u << 20;

}  // namespace

bool Lane::Impl::copies_whole() const {
  if (SQ_PLANTED("no_recopy")) return true;
  return !maybe_lacking_ || core_.lacking(live_slots(), 1).empty();
}

Task<void> Lane::Impl::wait_copies_whole() {
  maybe_lacking_ = true;
  copies_work_.set();
  while (!copies_whole() && serving()) co_await copies_done_.wait();
}

Task<void> Lane::Impl::run_copier() {
  while (serving()) {
    copies_work_.reset();
    if (copies_whole()) {
      maybe_lacking_ = false;
      copies_done_.pulse();
    } else if (co_await copy_round()) {
      continue;
    }
    // Nothing to do, or nothing that can be done until a disk or the tail changes.
    if (serving()) co_await copies_work_.wait();
  }
}

Task<bool> Lane::Impl::copy_round() {
  struct Copy {
    LanePosition position;
    Slot slot;
    std::uint64_t losses_before;
    std::uint64_t size_bytes;
  };
  const auto losses_total_before = losses_total_;
  const auto positions = core_.lacking(live_slots(), kRoundBytes);
  if (positions.empty()) co_return false;
  // The tail may pass these batches meanwhile; their slots are not reused before the writes ended.
  core_.hold(positions.front());
  std::vector<Copy> copies;
  std::vector<Slot> slots;
  for (const auto position : positions) {
    if (stopping_) break;
    const auto bytes = co_await read_good(position);
    const auto* batch = core_.find(position);
    if (bytes.empty() || batch == nullptr) {
      SQ_PROBE("journal batch forgotten, or without a copy, while copied");
      continue;
    }
    for (const auto slot : core_.slots_to_write(*batch, live_slots())) {
      const auto losses_before = losses(slot);
      BufferChain chain{bytes};
      const auto done =
          co_await disks_.write(slot, core_.journal_offset(position), std::move(chain));
      if (!done.ok()) {
        request_failed(slot, losses_before);
        continue;
      }
      copies.push_back({position, slot, losses_before, bytes.size()});
      if (std::find(slots.begin(), slots.end(), slot) == slots.end()) slots.push_back(slot);
    }
  }
  co_await flush_slots(slots);
  bool changed = losses_total_ != losses_total_before;
  for (const auto& copy : copies) {
    if (losses(copy.slot) != copy.losses_before) continue;
    core_.add_copy(copy.position, copy.slot);
    stats_.recopied_bytes += copy.size_bytes;
    stats_.written_bytes += copy.size_bytes;
    changed = true;
  }
  core_.release();
  work_.set();
  co_return changed;
}

// The batch's bytes from a copy that proves right; copies that do not are no good ones any more.
Task<Buffer> Lane::Impl::read_good(LanePosition position) {
  for (;;) {
    const auto* batch = core_.find(position);
    if (batch == nullptr || batch->good.empty()) co_return Buffer();
    const auto header = batch->header;
    const auto slot = batch->good.front();
    const auto losses_before = losses(slot);
    auto bytes = Buffer::allocate(header.written_bytes());
    const auto done = co_await disks_.read(slot, core_.journal_offset(position), bytes);
    if (!done.ok()) {
      read_failed(slot, losses_before);
      core_.drop_copy(position, slot);
      ++losses_total_;
      continue;
    }
    const auto decoded = format::decode_journal_batch(bytes);
    if (decoded.ok() && decoded->header == header) co_return bytes;
    SQ_PROBE("journal copy rotten when copied from");
    core_.drop_copy(position, slot);
    ++losses_total_;
  }
}

Task<void> Lane::Impl::flush_slot(Slot slot) {
  const auto losses_before = losses(slot);
  const auto done = co_await disks_.flush(slot);
  if (!done.ok()) request_failed(slot, losses_before);
}

Task<void> Lane::Impl::flush_slots(std::vector<Slot> slots) {
  env::Scope flushes(loop_);
  for (const auto slot : slots) flushes.spawn(flush_slot(slot));
  co_await flushes.join();
}

Async<> Lane::Impl::restore_copies() {
  SQ_CHECK(phase_ == Phase::kRecovered, "copies are restored after recovery");
  for (;;) {
    const auto live = live_slots();
    if (live.empty()) co_return Error{Code::kIo, named("no disk takes writes")};
    const auto losses_before = losses_total_;
    const auto lacking = core_.lacking(live, 1);
    if (!lacking.empty() && !SQ_PLANTED("no_recopy")) {
      SQ_PROBE("journal batch copied again before the term");
      if (!co_await copy_round())
        co_return Error{Code::kConflict, named("no copy left of the batch at ") +
                                             std::to_string(lacking.front().value)};
      continue;
    }
    co_await flush_slots(live);
    if (losses_total_ == losses_before) break;
    SQ_PROBE("journal disk lost while copies are restored");
  }
  core_.restored();
  maybe_lacking_ = false;
  phase_ = Phase::kRestored;
  co_return Result<>();
}

}  // namespace square::journal
