#include "access/operations.hpp"

#include <algorithm>

#include "access/replacement.hpp"

namespace square::access {

using format::LongOperation;
using format::LongOperationState;

namespace {

constexpr std::size_t kFileBytesMax = 4u << 20;
constexpr std::string_view kScrub = "scrub";
constexpr auto kRetryPause = std::chrono::seconds(30);
constexpr env::Duration kFirstScrubAfter = std::chrono::hours(1);
constexpr auto kSavePause = std::chrono::minutes(5);  // a restart repeats no more of a scrub

std::string hex8(std::uint32_t number) {
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[number >> shift & 15];
  return text;
}

}  // namespace

Result<LongOperation> OperationTable::find(const std::string& id) const {
  const auto found = std::ranges::find(operations_, id, &LongOperation::id);
  if (found != operations_.end()) return *found;
  return Error{Code::kNotFound, "no operation \"" + id + "\"; square op ls shows those there are"};
}

LongOperation* OperationTable::running(std::string_view kind) {
  const auto found = std::ranges::find_if(operations_, [&](const LongOperation& o) {
    return o.kind == kind && o.state == LongOperationState::kRunning;
  });
  return found == operations_.end() ? nullptr : &*found;
}

void OperationTable::add(LongOperation operation) {
  operations_.push_back(std::move(operation));
  while (operations_.size() > kKept) {
    const auto ended = std::ranges::find_if(operations_, [](const LongOperation& o) {
      return o.state != LongOperationState::kRunning;
    });
    if (ended == operations_.end()) return;
    operations_.erase(ended);
  }
}

void OperationTable::forget(const std::string& id) {
  std::erase_if(operations_, [&](const LongOperation& o) { return o.id == id; });
}

LongOperation scrub_now(const ScrubBegin& before, const pool::PoolStatus& pool) {
  auto now = before.operation;
  now.done_bytes += pool.scrub.done_bytes;
  now.total_bytes = before.operation.done_bytes + pool.scrub.total_bytes;
  now.corruptions_found += pool.corruptions_found - before.pool_found;
  now.corruptions_repaired += pool.corruptions_repaired - before.pool_repaired;
  now.stripes_lost += pool.scrub.stripes_lost;
  now.cursor = pool.scrub.cursor;
  return now;
}

void end_scrub(LongOperation& o, bool complete, std::int64_t wall_ns) {
  o.ended_wall_ns = wall_ns;
  if (o.stripes_lost > 0) {
    o.state = LongOperationState::kFailed;
    o.message = std::to_string(o.stripes_lost) + " stripes are lost; square health says more";
  } else if (!complete) {
    o.state = LongOperationState::kFailed;
    o.message = "not everything could be looked at; square disk ls says which disk gives errors";
  } else if (o.corruptions_repaired < o.corruptions_found) {
    o.state = LongOperationState::kFailed;
    o.message = "not every corruption could be repaired; square health says more";
  } else {
    o.state = LongOperationState::kDone;
    o.message = o.corruptions_found == 0 ? "clean" : "repaired";
  }
}

bool ScrubSchedule::due(const std::vector<LongOperation>& all, std::int64_t wall_ns,
                        env::Duration since_start) const {
  if (interval_ == env::Duration{}) return false;
  const auto last = std::ranges::find(all.rbegin(), all.rend(), kScrub, &LongOperation::kind);
  if (last == all.rend()) return since_start >= std::min(interval_, kFirstScrubAfter);
  return last->began_wall_ns > wall_ns || wall_ns - last->began_wall_ns >= interval_.count();
}

bool ScrubSchedule::overdue(const std::vector<LongOperation>& all, std::int64_t wall_ns) const {
  if (interval_ == env::Duration{}) return false;
  const auto first = std::ranges::find(all, kScrub, &LongOperation::kind);
  if (first == all.end()) return false;
  const auto good = last_good_scrub_ns(all);
  return (wall_ns - (good != 0 ? good : first->began_wall_ns)) / 2 > interval_.count();
}

std::int64_t last_good_scrub_ns(const std::vector<LongOperation>& all) {
  const auto last = std::find_if(all.rbegin(), all.rend(), [](const LongOperation& o) {
    return o.kind == kScrub && o.state == LongOperationState::kDone;
  });
  return last == all.rend() ? 0 : last->ended_wall_ns;
}

void Operations::open() {
  auto bytes = env_.files.read(file_, kFileBytesMax);
  if (bytes.failed_with(Code::kNotFound)) return;
  auto list = bytes.ok() ? format::decode_operations(*bytes)
                         : Result<std::vector<LongOperation>>(std::move(bytes).error());
  if (!list.ok()) {
    say(LogLevel::kWarning, file_ + ": " + list.error().message + "; a new list is begun");
    return;
  }
  table_ = OperationTable(std::move(*list));
  auto* scrub = table_.running(kScrub);
  if (scrub != nullptr) go_on(scrub, [this](const auto& listed) { return begin_pass(listed); });
  auto* replacement = running_replacement();
  if (replacement != nullptr)
    go_on(replacement,
          [this](const auto& listed) { return begin_replacement(listed, std::nullopt); });
}

// After a restart of the node.
void Operations::go_on(LongOperation* operation, const Begin& begin) {
  ++operation->restarts;
  unsaved_ = true;
  const auto begun = begin(*operation);
  if (begun.ok())
    return say(LogLevel::kInfo, operation->id + " goes on after a restart of the node");
  operation->state = LongOperationState::kFailed;
  operation->ended_wall_ns = env_.loop.wall().ns;
  operation->message = "did not go on after a restart: " + begun.error().message;
  say(LogLevel::kWarning, operation->id + " " + operation->message);
}

LongOperation* Operations::running_replacement() {
  auto* retire = table_.running(kRetire);
  return retire != nullptr ? retire : table_.running(kReplace);
}

Result<> Operations::begin_pass(const LongOperation& operation) {
  const auto pool = pool_.status();
  SQ_TRY(pool_.start_scrub(operation.cursor));
  retirements_scrubbed_ = pool.retirement.pass.number;
  scrub_ = {operation, pool.corruptions_found, pool.corruptions_repaired};
  pass_ = pool_.status().scrub.number;
  return {};
}

Result<LongOperation> Operations::start_scrub() {
  look();
  if (const auto* running = table_.running(kScrub))
    return Error{Code::kBusy,
                 running->id + " is running; square op wait " + running->id + " follows it"};
  LongOperation operation;
  operation.kind = kScrub;
  return begin(std::move(operation), [this](const auto& listed) { return begin_pass(listed); });
}

Result<LongOperation> Operations::start_replacement(std::string_view kind, Slot slot,
                                                    std::optional<DiskId> by) {
  look();
  if (const auto* running = running_replacement())
    return Error{Code::kBusy,
                 running->id + " is running; square op wait " + running->id + " follows it"};
  const auto& geometry = pool_.geometry();
  const auto disks = pool_.disks();
  if (slot.value >= geometry.k + geometry.m)
    return Error{Code::kNotFound, "slot " + std::to_string(slot.value) +
                                      " is no member's; square disk ls shows them"};
  const auto& disk = disks[slot.value];
  const bool lives = disk.state == pool::DiskState::kMember;
  if (kind == kRetire && !lives && disk.state != pool::DiskState::kRebuilding)
    return Error{Code::kConflict, "slot " + std::to_string(slot.value) +
                                      " has no live disk; square disk replace fills it"};
  LongOperation operation;
  operation.kind = kind;
  operation.slot = slot;
  operation.disk = disk.id;
  return begin(std::move(operation),
               [&](const auto& listed) { return begin_replacement(listed, by); });
}

Result<> Operations::begin_replacement(const LongOperation& operation, std::optional<DiskId> by) {
  const auto disk = pool_.disks()[operation.slot.value];
  if (disk.id != operation.disk) return {};  // after a restart: another has it already
  if (disk.state == pool::DiskState::kMember || disk.state == pool::DiskState::kRebuilding)
    return pool_.retire_disk(operation.slot, by);
  // The pool fills an empty slot by itself.
  const auto pool = pool_.status();
  if (pool.spares_free > 0 || pool.rebuild.active) return {};
  return Error{Code::kConflict, "slot " + std::to_string(operation.slot.value) +
                                    " is empty and no spare is free; square disk add brings one"};
}

Result<LongOperation> Operations::begin(LongOperation operation, const Begin& begin) {
  operation.id = operation.kind + "-" + hex8(env_.random.draw<std::uint32_t>());
  operation.began_wall_ns = env_.loop.wall().ns;
  table_.add(operation);
  auto begun = save();
  if (begun.ok()) begun = begin(operation);
  if (begun.ok()) return operation;
  table_.forget(operation.id);
  unsaved_ = true;
  return std::move(begun).error();
}

void Operations::follow_schedule() {
  const auto now = env_.loop.now();
  if (now < schedule_again_ || table_.running(kScrub) != nullptr || !scrub_due()) return;
  schedule_again_ = now + kRetryPause;  // also when it cannot begin now
  if (const auto begun = start_scrub(); begun.ok())
    say(LogLevel::kInfo, begun->id + " begins by the schedule");
  else
    say(LogLevel::kWarning, "the scrub that is due does not begin: " + begun.error().message);
}

bool Operations::scrub_due() {
  const auto retirement = pool_.status().retirement;
  if (retirement.done && retirement.pass.number > retirements_scrubbed_) return true;
  return schedule_.due(table_.all(), env_.loop.wall().ns, env_.loop.now() - opened_);
}

std::vector<LongOperation> Operations::list() {
  look();
  return table_.all();
}

Result<LongOperation> Operations::find(const std::string& id) {
  look();
  return table_.find(id);
}

Result<LongOperation> Operations::cancel(const std::string& id) {
  look();
  SQ_TRY(auto operation, table_.find(id));
  if (operation.state != LongOperationState::kRunning)
    return Error{Code::kConflict,
                 id + " has ended: " + std::string(format::operation_state_name(operation.state))};
  auto* running = table_.running(operation.kind);
  if (operation.kind == kScrub)
    pool_.cancel_scrub();
  else
    SQ_TRY(pool_.cancel_retirement());
  running->state = LongOperationState::kCancelled;
  running->ended_wall_ns = env_.loop.wall().ns;
  running->message = "by command";
  operation = *running;
  SQ_TRY(save());
  return operation;
}

void Operations::look() {
  look_at_scrub();
  look_at_replacement();
  if (!unsaved_ || env_.loop.now() < retry_at_) return;
  if (const auto saved = save(); !saved.ok())
    say(LogLevel::kWarning, "the list of operations: " + saved.error().message);
}

void Operations::look_at_scrub() {
  auto* scrub = table_.running(kScrub);
  if (scrub == nullptr) return;
  const auto pool = pool_.status();
  const bool ours = pool.scrub.number == pass_;
  if (ours) *scrub = scrub_now(scrub_, pool);
  if (!ours || !pool.scrub.active) {
    end_scrub(*scrub, ours && pool.scrub.complete, env_.loop.wall().ns);
    unsaved_ = true;
  } else if (env_.loop.now() - saved_ >= kSavePause) {
    unsaved_ = true;
  }
}

void Operations::look_at_replacement() {
  auto* running = running_replacement();
  if (running == nullptr) return;
  *running =
      replacement_now(std::move(*running), pool_.status(), pool_.disks(), env_.loop.wall().ns);
  unsaved_ = unsaved_ || running->state != LongOperationState::kRunning;
}

Result<> Operations::save() {
  saved_ = env_.loop.now();
  auto saved = env_.files.write_atomic(file_, format::encode_operations(table_.all()));
  unsaved_ = !saved.ok();
  retry_at_ = saved.ok() ? env::BootTime{} : saved_ + kRetryPause;
  if (saved.ok()) return {};
  return std::move(saved).context("write " + file_);
}

void Operations::say(LogLevel level, const std::string& message) const {
  if (log_) log_(level, message);
}

}  // namespace square::access
