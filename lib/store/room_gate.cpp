#include "store/room_gate.hpp"

#include "base/probe.hpp"

namespace square::store {

Async<> RoomGate::enter(std::uint64_t bytes, const std::function<void()>& on_wait,
                        std::optional<env::BootTime> since) {
  if (closed_) co_return *closed_;
  if ((since || waiting_.empty()) && fits_(bytes)) {
    promised_ += bytes;
    co_return {};
  }
  SQ_PROBE("a writer waits for room");
  const auto mine = std::make_shared<Waiting>(loop_, bytes, since.value_or(loop_.now()));
  waiting_.insert(since ? waiting_.begin() : waiting_.end(), mine);
  on_wait();
  co_await mine->ended.wait();
  co_return mine->result;
}

RoomGate::Place RoomGate::end(Place place, Result<> result) {
  const auto waiting = *place;
  if (result.ok()) promised_ += waiting->bytes;
  waiting->result = std::move(result);
  waiting->ended.set();
  return waiting_.erase(place);
}

void RoomGate::let_in() {
  while (!waiting_.empty() && fits_(waiting_.front()->bytes)) {
    SQ_PROBE("a writer that waited for room was let in");
    end(waiting_.begin(), {});
  }
}

void RoomGate::refuse_unfit(const Error& error) {
  for (auto place = waiting_.begin(); place != waiting_.end();)
    place = end(place, fits_((*place)->bytes) ? Result<>() : Result<>(error));
}

void RoomGate::refuse_since(env::BootTime then, const Error& error) {
  for (auto place = waiting_.begin(); place != waiting_.end();)
    place = (*place)->since <= then ? end(place, error) : std::next(place);
}

void RoomGate::close(const Error& error) {
  closed_ = error;
  while (!waiting_.empty()) end(waiting_.begin(), error);
}

}  // namespace square::store
