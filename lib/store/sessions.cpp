#include "store/sessions.hpp"

namespace square::store {

void Sessions::add(SessionId session) { sessions_.try_emplace(session); }

void Sessions::restore(const index::SessionWindow& window) {
  sessions_[window.session].requests = window.requests;
}

void Sessions::remove(SessionId session) { sessions_.erase(session); }

void Sessions::done(SessionId session, RequestNumber request) {
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) found->second.requests.add(request);
}

Sessions::Begin Sessions::begin(RequestId request) {
  if (request.session == SessionId{}) return {};
  const auto found = sessions_.find(request.session);
  if (found == sessions_.end()) return {Verdict::kUnknown, nullptr};
  auto& [requests, flights] = found->second;
  if (const auto flight = flights.find(request.number); flight != flights.end())
    return {Verdict::kUnderWay, flight->second};
  if (requests.contains(request.number)) return {Verdict::kDone, nullptr};
  if (requests.forgotten(request.number)) return {Verdict::kUnknown, nullptr};
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
