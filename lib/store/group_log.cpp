// A group's log: sequences, order, commit, and what committed operations do to the group's tables.
#include "base/planted.hpp"
#include "store/group.hpp"
#include "store/local_leg.hpp"

namespace square::store {

using format::Operation;
using format::OperationType;

namespace {

constexpr std::size_t kSealersMax = 3;  // the loop's, and one for each helper
constexpr std::size_t kApplyOperationsMax = 1024;

Error outcome_unknown(const Error& why) {
  return {Code::kOutcomeUnknown, "it is not known whether this was done: " + why.message};
}

}  // namespace

Group::Group(Core& core, GroupId id, std::unique_ptr<Leg> leg)
    : core_(core),
      id_(id),
      sessions_(core.env.loop),
      seals_(core.env, kSealersMax,
             [this](std::uint32_t reference, codec::SealId seal) {
               format::SealRecord record;
               record.seal = seal;
               return put_record(format::seal_key(reference), format::encode(record));
             }),
      locks_(core.env.loop),
      control_(core.env.loop),
      local_(leg != nullptr ? std::move(leg) : std::make_unique<LocalLeg>(core)),
      scope_(core.env.loop) {}

Group::~Group() = default;

Group::Logged Group::find(Sequence sequence) const {
  if (sequence <= applied_) return nullptr;
  const auto at = sequence.value - applied_.value - 1;
  return at < pending_.size() ? pending_[at] : nullptr;
}

Group::Logged Group::take_sequence(OperationType type, RequestId request) {
  SQ_CHECK(serving_, "a sequence was taken outside a serving term");
  auto logged = std::make_shared<LoggedOperation>();
  last_ = last_.next();
  auto& operation = logged->operation;
  operation.type = type;
  operation.group = id_;
  operation.incarnation = incarnation_;
  operation.epoch = epoch_;
  operation.sequence = last_;
  operation.session = request.session;
  operation.request = request.number;
  operation.wall_ns = core_.env.loop.wall().ns;
  pending_.push_back(logged);
  return logged;
}

void Group::ready(const Logged& logged) {
  logged->sealed = true;
  hand_over();
}

// Operations reach the legs in sequence order, each with the chain hash over all before it.
void Group::hand_over() {
  for (auto next = find(handed_.next()); next && next->sealed; next = find(handed_.next())) {
    next->operation.commit = commit_;
    chain_ = format::chain_hash(chain_, next->operation);
    next->operation.chain = chain_;
    handed_ = handed_.next();
    scope_.spawn(send(next));
  }
}

Task<void> Group::send(Logged logged) {
  auto sent = co_await local_->log(logged);
  if (!sent.ok()) {
    core_.fail(std::move(sent).error());
    co_return;
  }
  logged->durable = true;
  if (SQ_PLANTED("ack_out_of_order")) finish(logged, {});
  if (SQ_PLANTED("direct_overtakes") && logged->direct && !logged->committed) {
    memory_.enter(logged->operation, logged->stored);
    finish(logged, {});
  }
  advance();
}

// Commits in sequence order: visible to reads and acknowledged only when everything before it is
// durable too.
void Group::advance() {
  if (core_.failed) return;
  for (auto next = find(commit_.next()); next && next->durable; next = find(commit_.next())) {
    if (auto entered = enter(next); !entered.ok()) return core_.fail(std::move(entered).error());
    finish(next, {});
  }
  if (auto applied = apply_ready(); !applied.ok()) return core_.fail(std::move(applied).error());
  core_.work.set();
}

Result<> Group::enter(const Logged& logged) {
  const auto& operation = logged->operation;
  SQ_CHECK(operation.sequence == commit_.next());
  commit_ = operation.sequence;
  logged->committed = true;
  if (!logged->direct || !SQ_PLANTED("direct_overtakes")) memory_.enter(operation, logged->stored);
  if (!operation.placed()) unplaced_bytes_ += logged->stored_bytes;
  if (operation.session != SessionId{}) sessions_.done(operation.session, operation.request);
  if (operation.type == OperationType::kSessionEnd)
    sessions_.remove(std::get<format::SessionEndBody>(operation.body).session);
  if (const auto* record = std::get_if<format::RecordBody>(&operation.body)) {
    if (operation.type == OperationType::kPutRecord) return take_record(record->key, record->value);
    forget_record(record->key);
  }
  return {};
}

void Group::forget_record(const std::string& key) {
  if (!key.starts_with(format::kVolumePrefix)) return;
  const auto number = format::key_number(key, format::kVolumePrefix);
  if (number.ok()) volumes_.erase(VolumeId(*number));
}

Result<> Group::take_record(const std::string& key, Bytes value) {
  if (key == format::kGroupKey) {
    SQ_TRY(const auto record, format::decode_group_record(value));
    incarnation_ = record.incarnation;
    next_volume_ = std::max(next_volume_, record.next_volume);
    level_ = record.level;
    if (level_ > format::kFeatureLevel)
      return Error{Code::kUnsupported, "group " + std::to_string(id_.value) +
                                           " has feature level " + std::to_string(level_) +
                                           "; this release knows up to " +
                                           std::to_string(format::kFeatureLevel)};
    if (!serving_) clock_.seen(record.clock_ns);
  } else if (key.starts_with(format::kVolumePrefix)) {
    SQ_TRY(const auto number, format::key_number(key, format::kVolumePrefix));
    SQ_TRY(auto record, format::decode_volume_record(value));
    SQ_TRY(auto name, open_name(key, record.name));
    if (!serving_) clock_.seen(record.deleted_wall_ns);
    volumes_[VolumeId(number)] = {std::move(record), std::move(name)};
  } else if (key.starts_with(format::kSealPrefix)) {
    SQ_TRY(const auto number, format::key_number(key, format::kSealPrefix));
    SQ_TRY(const auto record, format::decode_seal_record(value));
    seals_.restore(static_cast<std::uint32_t>(number), record.seal);
  } else if (key.starts_with(format::kSessionPrefix)) {
    SQ_TRY(const auto number, format::key_number(key, format::kSessionPrefix));
    sessions_.add(SessionId(number));
  }
  return {};
}

void Group::finish(const Logged& logged, Result<> result) {
  if (logged->outcome) return;
  logged->outcome = std::move(result);
  if (logged->waiter) core_.env.loop.post(logged->waiter);
}

// Whoever waits for the write buffer gets it, looks, and sees that the engine has stopped: nothing
// enters the buffer any more.
void Group::fail_waiters(const Error& error) {
  for (const auto& logged : pending_) {
    if (!logged->committed) finish(logged, outcome_unknown(error));
    core_.write_buffer.release(std::exchange(logged->held_bytes, 0));
  }
}

struct Group::CommitWait {
  LoggedOperation& logged;
  bool await_ready() const noexcept { return logged.outcome.has_value(); }
  void await_suspend(std::coroutine_handle<> h) { logged.waiter = h; }
  void await_resume() const noexcept {}
};

Async<> Group::committed(Logged logged) {
  if (core_.failed && !logged->outcome) co_return outcome_unknown(*core_.failed);
  CommitWait wait{*logged};
  co_await wait;
  co_return *logged->outcome;
}

Result<> Group::may_log(OperationType type) const {
  if (format::feature_level_of(type) <= level_) return {};
  return Error{Code::kUnsupported, "not every node of group " + std::to_string(id_.value) +
                                       " knows this kind of operation yet"};
}

Result<Group::Logged> Group::submit(Draft draft) {
  SQ_TRY(core_.alive());
  SQ_TRY(core_.check_journal());
  SQ_TRY(may_log(draft.type));
  auto logged = take_sequence(draft.type, draft.request);
  logged->operation.body = std::move(draft.body);
  ready(logged);
  return logged;
}

Async<> Group::log(Draft draft) {
  SQ_CO_TRY(const auto logged, submit(std::move(draft)));
  co_return co_await committed(logged);
}

Async<> Group::put_record(std::string key, ByteVector value, RequestId request) {
  Draft draft{OperationType::kPutRecord, format::RecordBody{std::move(key), std::move(value)},
              request};
  SQ_CO_TRY(co_await log(std::move(draft)));
  co_return {};
}

// The index takes committed, placed operations, strictly in sequence order.
Result<> Group::apply_ready() {
  while (!pending_.empty() && pending_.front()->committed && pending_.front()->operation.placed()) {
    std::vector<Operation> operations;
    std::vector<format::StripeDescriptor> stripes;
    for (const auto& logged : pending_) {
      if (!logged->committed || !logged->operation.placed()) break;
      if (operations.size() == kApplyOperationsMax) break;
      operations.push_back(logged->operation);
      stripes.insert(stripes.end(), logged->stripes.begin(), logged->stripes.end());
    }
    SQ_TRY(core_.index->apply(operations, stripes, core_.index_point()));
    for (const auto& stripe : stripes) core_.pool->stripe_is_indexed(stripe);
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const auto logged = std::move(pending_.front());
      pending_.pop_front();
      applied_ = logged->operation.sequence;
      memory_.applied(logged->operation);
      core_.write_buffer.release(logged->held_bytes);
      if (logged->hold.held()) core_.ledger.applied(std::move(logged->hold));
    }
  }
  core_.progress.pulse();
  return {};
}

Async<> Group::wait_applied(Sequence sequence) {
  // It may never come, and whoever asks for it may hold a lock or a budget.
  if (sequence > commit_)
    co_return Error{Code::kNotFound, "group " + std::to_string(id_.value) + " has no operation " +
                                         std::to_string(sequence.value) + " yet"};
  wanted_applied_ = std::max(wanted_applied_, sequence);
  while (applied_ < sequence) {
    SQ_CO_TRY(core_.alive());
    if (core_.no_room) co_return *core_.no_room;
    core_.work.set();
    co_await core_.progress.wait();
  }
  co_return {};
}

}  // namespace square::store
