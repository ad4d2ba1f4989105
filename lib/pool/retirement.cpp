#include "pool/retirement.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/labels.hpp"
#include "pool/layout.hpp"

namespace square::pool {
namespace {

constexpr std::uint64_t kWindowBytes = 1u << 20;

}  // namespace

Result<> Retirement::begin(Slot slot, std::optional<DiskId> by) {
  const auto name = "slot " + std::to_string(slot.value);
  if (active())
    return Error{Code::kBusy, "slot " + std::to_string(status_.slot.value) +
                                  " is being retired; one disk is retired at a time"};
  const auto member = slot < members_->slots_end() ? members_->live(slot) : nullptr;
  if (!member) return Error{Code::kNotFound, name + " has no live member"};
  if (members_->rebuilding(slot))
    return Error{Code::kConflict, name + " is being rebuilt; retire it when it is whole"};
  for (const auto missing : members_->missing_slots())
    return Error{Code::kConflict, "slot " + std::to_string(missing.value) +
                                      " has no live member: a spare takes it first"};
  const auto spare = by ? members_->find_spare(*by) : members_->free_spare();
  if (!spare || !members_->is_free(*spare))
    return Error{Code::kConflict, "no spare is free; `square disk add` brings one"};
  const auto number = status_.pass.number + 1;
  status_ = {};
  status_.slot = slot;
  status_.from = member->label.disk;
  status_.to = spare->label.disk;
  auto& pass = status_.pass;
  pass.active = true;
  pass.number = number;
  pass.slots = {slot};
  pass.total_bytes = members_->geometry().journal_bytes;
  for (SegmentId id; id.value < segments_->size(); id = id.next())
    if (lies_on(id)) pass.total_bytes += members_->geometry().chunk_bytes;
  pacing_ = pacer_.begin();
  member_ = member;
  twin_ = spare;
  members_->begin_twin(slot, spare);
  return {};
}

bool Retirement::lies_on(SegmentId segment) const {
  const auto& slots = segments_->at(segment).slots;
  return segments_->in_use(segment) && std::ranges::find(slots, status_.slot) != slots.end();
}

bool Retirement::goes_on() const {
  return !stopping_ && !loop_.ending() && members_->twin(status_.slot) == twin_ &&
         members_->live(status_.slot) == member_ && !twin_->failed();
}

Result<> Retirement::give_up(const std::string& why) {
  if (!active() || members_->twin(status_.slot) != twin_ || members_->twin_named(status_.slot))
    return Error{Code::kConflict, "no disk is being retired, or its place has been taken"};
  SQ_PROBE("a retirement was given up");
  status_.why = why;
  members_->drop_twin(status_.slot);
  look_.pulse();
  return {};
}

void Retirement::stop() {
  stopping_ = true;
  look_.pulse();
}

Task<void> Retirement::run() {
  const auto copied = co_await copy();
  if (copied.ok() && goes_on()) co_await hand_over();
  if (!status_.done && status_.why.empty())
    status_.why = twin_->failed()     ? twin_->path() + " failed: " + twin_->why()
                  : member_->failed() ? member_->path() + " failed: " + member_->why()
                                      : "the node stops";
  if (!status_.done && members_->twin(status_.slot) == twin_ && !members_->twin_named(status_.slot))
    members_->drop_twin(status_.slot);
  status_.pass.active = false;
  member_ = twin_ = nullptr;
}

// Everything that a label does not name: the journal's area, and the chunks of segments in use.
// What comes into use behind it has been written to both.
Async<> Retirement::copy() {
  const auto& geometry = members_->geometry();
  SQ_CO_TRY(co_await copy_range(journal_offset(0), geometry.journal_bytes));
  for (SegmentId id; id.value < segments_->size(); id = id.next()) {
    if (!lies_on(id)) continue;
    const auto unreadable = status_.blocks_unreadable;
    SQ_CO_TRY(co_await copy_range(chunk_offset(geometry, id), geometry.chunk_bytes));
    if (status_.blocks_unreadable != unreadable) co_await inspect(id);
  }
  co_return co_await twin_->flush();
}

Async<> Retirement::copy_range(std::uint64_t offset, std::uint64_t size) {
  auto& pass = status_.pass;
  for (const auto end = offset + size; offset < end;) {
    const auto bytes = std::min(kWindowBytes, end - offset);
    co_await pacer_.hold_back(&pacing_, bytes, 1, &pass, [this] { return !goes_on(); });
    if (!goes_on()) co_return Error{Code::kIo, "given up"};
    SQ_CO_TRY(const auto unreadable,
              co_await member_->copy_to_twin(offset, static_cast<std::uint32_t>(bytes)));
    status_.blocks_unreadable += unreadable;
    pass.done_bytes += bytes;
    pass.total_bytes = std::max(pass.total_bytes, pass.done_bytes);
    offset += bytes;
  }
  co_return Result<>();
}

// Both get every write until labels name the twin, whichever of them a crash finds.
Task<void> Retirement::hand_over() {
  members_->name_twin(status_.slot);
  for (;;) {
    Result<> labelled;
    if (!SQ_PLANTED("twin_not_named")) labelled = co_await members_->write_labels();
    if (!goes_on()) break;
    if (labelled.ok() && members_->seat_twin(status_.slot)) break;
    SQ_PROBE("labels could not be given a twin's name at once");
    co_await look_.wait();
    if (!goes_on()) break;
  }
  // When one of the two failed meanwhile the other has the slot.
  const auto slot = status_.slot;
  status_.done = members_->live(slot) == twin_ || members_->joining(slot) == twin_;
  if (!status_.done || member_->failed()) co_return;
  if (const auto wiped = co_await wipe_labels(loop_, member_); !wiped.ok())
    status_.why = "its labels stay: " + wiped.error().message;
  member_->fail("retired: slot " + std::to_string(slot.value) + " is " + twin_->path());
  co_await member_->join();
  members_->close(member_);
}

RetirementStatus Retirement::status() const {
  auto status = status_;
  status.pass = pacer_.estimate(pacing_, std::move(status.pass));
  return status;
}

}  // namespace square::pool
