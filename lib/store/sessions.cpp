#include "store/sessions.hpp"

namespace square::store {

void Sessions::add(SessionId session) {
  sessions_.try_emplace(session).first->second.last_use = ++uses_;
}

void Sessions::restore(const index::SessionWindow& window) {
  sessions_[window.session].requests = window.requests;
}

void Sessions::remove(SessionId session) { sessions_.erase(session); }

void Sessions::close(SessionId session) {
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) found->second.closed = true;
}

std::shared_ptr<Sessions::Flight> Sessions::flight_of(SessionId session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.flights.empty()) return nullptr;
  return found->second.flights.begin()->second;
}

std::optional<SessionId> Sessions::idlest() const {
  std::optional<SessionId> idlest;
  auto last_use = UINT64_MAX;
  for (const auto& [id, session] : sessions_) {
    if (session.closed || !session.flights.empty() || session.last_use >= last_use) continue;
    idlest = id;
    last_use = session.last_use;
  }
  return idlest;
}

void Sessions::done(SessionId session, RequestNumber request) {
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) found->second.requests.add(request);
}

Sessions::Begin Sessions::begin(RequestId request) {
  if (request.session == SessionId{}) return {};
  const auto found = sessions_.find(request.session);
  if (found == sessions_.end()) return {Verdict::kUnknown, nullptr};
  auto& [requests, flights, last_use, closed] = found->second;
  last_use = ++uses_;
  if (const auto flight = flights.find(request.number); flight != flights.end())
    return {Verdict::kUnderWay, flight->second};
  if (requests.contains(request.number)) return {Verdict::kDone, nullptr};
  if (closed || requests.forgotten(request.number)) return {Verdict::kUnknown, nullptr};
  auto flight = std::make_shared<Flight>(loop_);
  flights.emplace(request.number, flight);
  return {Verdict::kNew, flight};
}

void Sessions::end(RequestId request, const std::shared_ptr<Flight>& flight,
                   const Result<>& result) {
  if (flight == nullptr) return;
  flight->result = result;
  flight->ended.set();
  const auto found = sessions_.find(request.session);
  if (found != sessions_.end()) found->second.flights.erase(request.number);
}

}  // namespace square::store
