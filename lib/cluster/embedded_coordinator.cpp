#include "cluster/embedded_coordinator.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"

namespace square::cluster {

using format::CoordinatorState;
using format::GroupRecord;

Result<> EmbeddedCoordinator::create(env::Files& files, env::Random& random,
                                     const std::string& file) {
  if (files.exists(file))
    return Error{Code::kExists, file + " is there already: nothing was written"};
  CoordinatorState state;
  state.identity.uuid = random.uuid();
  return files.write_atomic(file, format::encode_coordinator_state(state));
}

Result<std::unique_ptr<EmbeddedCoordinator>> EmbeddedCoordinator::open(env::Loop& loop,
                                                                       env::Files& files,
                                                                       std::string file) {
  SQ_TRY(const auto bytes, files.read(file, format::kCoordinatorStateBytesMax));
  auto state = format::decode_coordinator_state(bytes);
  if (!state.ok()) return std::move(state).error().context(file);
  return std::unique_ptr<EmbeddedCoordinator>(
      new EmbeddedCoordinator(loop, files, std::move(file), std::move(state).value()));
}

EmbeddedCoordinator::EmbeddedCoordinator(env::Loop& loop, env::Files& files, std::string file,
                                         CoordinatorState state)
    : loop_(loop),
      files_(files),
      file_(std::move(file)),
      state_(std::move(state)),
      changed_(std::make_shared<env::Event>(loop)) {}

Result<> EmbeddedCoordinator::alive() const {
  if (broken_) return Error(*broken_).context("the coordinator must be started again");
  return {};
}

CoordinatorAnswer EmbeddedCoordinator::answer(GroupId group) const {
  CoordinatorAnswer answer;
  answer.identity = state_.identity;
  answer.revision = state_.revision;
  const auto found = std::ranges::find(state_.groups, group, &GroupRecord::group);
  if (found != state_.groups.end()) answer.record = *found;
  return answer;
}

Async<CoordinatorAnswer> EmbeddedCoordinator::read(GroupId group) {
  SQ_CO_TRY(alive());
  co_return answer(group);
}

Async<CoordinatorAnswer> EmbeddedCoordinator::compare_and_swap(std::uint64_t expected,
                                                               GroupRecord wanted) {
  SQ_CO_TRY(alive());
  auto next = state_;
  const auto at = std::ranges::lower_bound(next.groups, wanted.group, {}, &GroupRecord::group);
  const bool is_new = at == next.groups.end() || at->group != wanted.group;
  if ((is_new ? 0 : at->revision) != expected && !SQ_PLANTED("swap_unconditional")) {
    SQ_PROBE("a compare-and-swap met a newer record");
    co_return answer(wanted.group);
  }
  if (is_new && next.groups.size() >= format::kCoordinatedGroupsMax)
    co_return Error{Code::kNoSpace, "the coordinator holds " +
                                        std::to_string(format::kCoordinatedGroupsMax) +
                                        " groups, and no more"};
  wanted.revision = ++next.revision;
  if (is_new)
    next.groups.insert(at, wanted);
  else
    *at = wanted;
  if (!SQ_PLANTED("swap_not_durable")) {
    const auto written = files_.write_atomic(file_, format::encode_coordinator_state(next));
    if (!written.ok()) {
      SQ_PROBE("the coordinator could not write its state");
      broken_ = written.error();
      changed_->pulse();
      co_return Error{Code::kOutcomeUnknown, "write " + file_ + ": " + written.error().message};
    }
  }
  state_ = std::move(next);
  changed_->pulse();
  auto done = answer(wanted.group);
  done.swapped = true;
  co_return done;
}

Async<bool> EmbeddedCoordinator::wait_for_change(std::uint64_t known, env::Duration at_most) {
  SQ_CO_TRY(alive());
  if (state_.revision > known) co_return true;
  const auto changed = changed_;
  const auto timer = loop_.add_timer(loop_.now() + at_most, [changed] { changed->pulse(); });
  co_await changed->wait();
  loop_.cancel_timer(timer);
  SQ_CO_TRY(alive());
  co_return state_.revision > known;
}

Async<std::vector<GroupRecord>> EmbeddedCoordinator::list() {
  SQ_CO_TRY(alive());
  co_return state_.groups;
}

}  // namespace square::cluster
