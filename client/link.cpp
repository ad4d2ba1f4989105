#include "client/link.hpp"

namespace square::client {

namespace wire = format::wire;

Core::Link::Link(env::Loop& loop, std::unique_ptr<env::Connection> connection,
                 env::Duration stall_max)
    : loop_(loop),
      connection_(std::move(connection)),
      reader_(*connection_),
      writer_(loop, *connection_, stall_max),
      tasks_(loop) {}

Async<> Core::Link::handshake() {
  wire::Deadline deadline(loop_, *connection_, std::chrono::seconds(10));
  const wire::Prologue mine;
  BufferChain hello{Buffer::copy_of(wire::encode(mine))};
  SQ_CO_TRY(co_await connection_->write(std::move(hello)));
  SQ_CO_TRY(const auto theirs, co_await reader_.prologue());
  SQ_CO_TRY(wire::agree_version(mine, theirs));
  co_return {};
}

void Core::Link::start() {
  tasks_.spawn(writer_.run());
  tasks_.spawn(receive());
}

void Core::Link::close() { fail("closed"); }

void Core::Link::fail(std::string why) {
  if (failed_) return;
  failed_ = true;
  why_ = std::move(why);
  connection_->close();
  writer_.close();
  for (auto& [id, pending] : std::exchange(pending_, {})) {
    pending->lost = true;
    pending->answered.set();
  }
}

Task<void> Core::Link::receive() {
  const auto end = co_await receive_all();
  fail(end.ok() ? "the node closed the connection" : end.error().message);
}

Async<> Core::Link::receive_all() {
  for (;;) {
    SQ_CO_TRY(auto incoming, co_await reader_.next());
    if (!incoming) co_return {};
    const auto& frame = incoming->frame;
    if (!frame.reply) co_return Error{Code::kCorrupt, "the node sent a request"};
    SQ_CO_TRY(auto payload, co_await reader_.payload(frame.payload_bytes));
    const auto found = pending_.find(frame.request);
    if (found == pending_.end()) continue;  // answered after its deadline
    auto* pending = found->second;
    if (frame.type != pending->type)
      co_return Error{Code::kCorrupt, "the node's reply is of another type than the request"};
    bool garbled = false;
    auto answer = wire::decode_reply(frame.type, incoming->header, &garbled);
    if (garbled) co_return std::move(answer).error();
    pending_.erase(found);
    if (answer.ok()) {
      pending->reply = Reply{std::move(answer).value(), std::move(payload)};
    } else {
      pending->reply = std::move(answer).error();
    }
    pending->answered.set();
  }
}

Async<Core::Reply> Core::Link::exchange(const wire::Request& request, Buffer payload,
                                        env::BootTime deadline, bool* lost) {
  *lost = failed_;
  if (failed_) co_return Error{Code::kUnavailable, why_};
  Pending pending(loop_);
  pending.type = wire::type_of(request);
  const auto id = ++last_request_;
  pending_[id] = &pending;
  writer_.send({pending.type, false, id}, wire::encode(request), std::move(payload));
  const auto timer = loop_.add_timer(deadline, [&pending] { pending.answered.set(); });
  co_await pending.answered.wait();
  loop_.cancel_timer(timer);
  if (pending.reply) co_return std::move(*pending.reply);
  pending_.erase(id);
  *lost = true;
  if (pending.lost) co_return Error{Code::kUnavailable, why_};
  co_return Error{Code::kTimeout, "no answer in time"};
}

}  // namespace square::client
