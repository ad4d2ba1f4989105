#include "pool/prompt_io.hpp"

#include <algorithm>

#include "base/probe.hpp"

namespace square::pool {

Async<> PromptIo::run(Slot slot, RequestKind kind, std::uint64_t size_bytes, Async<> work) {
  const Error late{Code::kIo, "slot " + std::to_string(slot.value) + " is late, and set aside"};
  if (members_->aside(slot)) co_return late;
  const auto request = std::make_shared<Request>(loop_);
  scope_.spawn(carry(request, std::move(work)));
  const auto waiting = waiting_.emplace(slot, request);
  const auto after = SlowCore::late_after(members_->peers_usual(slot, kind, size_bytes));
  const auto timer = loop_.add_timer(loop_.now() + after, [request] {
    request->overdue = true;
    request->changed.pulse();
  });
  const bool in_time = co_await wait(slot, request);
  loop_.cancel_timer(timer);
  waiting_.erase(waiting);
  if (!in_time) co_return late;
  co_return std::move(request->result);
}

Task<void> PromptIo::carry(RequestPtr request, Async<> work) {
  request->result = co_await work;
  request->ended = true;
  request->changed.pulse();
}

// False when it is left to itself.
Task<bool> PromptIo::wait(Slot slot, RequestPtr request) {
  for (bool asked = false; !request->ended;) {
    co_await request->changed.wait();
    if (request->ended) break;
    if (members_->aside(slot)) co_return false;
    if (!request->overdue || asked) continue;
    asked = true;
    // A loop that was held up finds timers and answers together: the answers first.
    co_await env::yield(loop_);
    if (!request->ended && set_aside(slot)) co_return false;
  }
  co_return true;
}

bool PromptIo::set_aside(Slot slot) {
  const bool known = members_->aside(slot);
  if (!members_->set_aside(slot)) {
    SQ_PROBE("a late disk was waited for: no other could be spared");
    return false;
  }
  if (known) return true;
  SQ_PROBE("a late disk was set aside");
  const auto [from, to] = waiting_.equal_range(slot);
  std::for_each(from, to, [](const auto& entry) { entry.second->changed.pulse(); });
  if (on_aside) on_aside(slot);
  return true;
}

}  // namespace square::pool
