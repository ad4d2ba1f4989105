#include "client/core.hpp"

#include <algorithm>

#include "client/ingest.hpp"
#include "client/link.hpp"

namespace square::client {

namespace wire = format::wire;

namespace {

constexpr env::Duration kRetryPause = std::chrono::milliseconds(100);

bool is_change(const wire::Request& request) {
  return std::holds_alternative<wire::Write>(request) ||
         std::holds_alternative<wire::Zero>(request);
}

std::optional<VolumeId> volume_of(const wire::Request& request) {
  return std::visit(
      [](const auto& m) -> std::optional<VolumeId> {
        if constexpr (requires { m.volume; }) return m.volume;
        return std::nullopt;
      },
      request);
}

SessionId session_of(const wire::Request& request) {
  return std::visit(
      [](const auto& m) {
        if constexpr (requires { m.session; }) return m.session;
        return SessionId();
      },
      request);
}

// The node says that it did nothing, and may do it later.
bool worth_repeating(Code code) { return code == Code::kBusy || code == Code::kUnavailable; }

}  // namespace

Core::Core(env::Loop& loop, env::Transport& transport, CoreOptions options, LogSink log)
    : loop_(loop),
      transport_(transport),
      options_(std::move(options)),
      log_(std::move(log)),
      inflight_(loop, std::max<std::uint64_t>(options_.inflight_bytes_max, 4u << 20)),
      connecting_(loop),
      opening_session_(loop),
      idle_(loop),
      stop_event_(loop) {
  idle_.set();
}

Core::~Core() = default;

Async<VolumeInfo> Core::open(std::string name) {
  wire::OpenVolume request{options_.tenant, std::move(name), {}};
  SQ_CO_TRY(auto reply, co_await call(std::move(request), {}, 0));
  auto* volume = std::get_if<wire::VolumeOpened>(&reply.answer);
  SQ_CHECK(volume != nullptr, "decode_reply gives what the type asks for");
  co_return std::move(*volume);
}

Async<> Core::write(VolumeId volume, std::uint64_t offset, Buffer data) {
  if (data.size() > wire::kPayloadBytesMax)
    co_return Error{Code::kInvalid, "a write of more than 1 MiB"};
  wire::Write request{options_.tenant, {}, {}, volume, offset, ingest_hashes(offset, data.bytes())};
  const auto units = data.size();
  SQ_CO_TRY(co_await call(std::move(request), std::move(data), units));
  co_return {};
}

Async<Buffer> Core::read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                         std::string snapshot) {
  if (length > wire::kPayloadBytesMax) co_return Error{Code::kInvalid, "a read of more than 1 MiB"};
  wire::Read request{options_.tenant, volume, offset, length, std::move(snapshot)};
  SQ_CO_TRY(auto reply, co_await call(std::move(request), {}, length));
  if (reply.payload.size() != length)
    co_return Error{Code::kCorrupt, "the node answered " + std::to_string(reply.payload.size()) +
                                        " bytes to a read of " + std::to_string(length)};
  co_return std::move(reply.payload);
}

Async<> Core::zero(VolumeId volume, std::uint64_t offset, std::uint64_t length) {
  wire::Zero request{options_.tenant, {}, {}, volume, offset, length};
  SQ_CO_TRY(co_await call(std::move(request), {}, 0));
  co_return {};
}

Async<> Core::flush(VolumeId volume) {
  wire::Flush request{options_.tenant, volume};
  SQ_CO_TRY(co_await call(std::move(request), {}, 0));
  co_return {};
}

Async<std::vector<StatusRun>> Core::block_status(VolumeId volume, std::uint64_t offset,
                                                 std::uint64_t length, std::uint32_t count_max,
                                                 std::string snapshot) {
  wire::BlockStatus request{
      options_.tenant,    volume, offset, length, std::min(count_max, wire::kStatusEntriesMax),
      std::move(snapshot)};
  SQ_CO_TRY(auto reply, co_await call(std::move(request), {}, 0));
  auto* is = std::get_if<wire::BlockStatusIs>(&reply.answer);
  SQ_CHECK(is != nullptr, "decode_reply gives what the type asks for");
  if (is->runs.empty()) co_return Error{Code::kCorrupt, "the node answered no block status"};
  co_return std::move(is->runs);
}

Async<Core::Reply> Core::call(wire::Request request, Buffer payload, std::uint64_t units) {
  if (stopping_) co_return Error{Code::kCancelled, "the client was stopped"};
  ++calls_;
  ++stats_.requests;
  idle_.reset();
  const auto deadline = loop_.now() + options_.request_timeout;
  co_await inflight_.acquire(units);
  auto reply = co_await call_until(request, payload, deadline);
  inflight_.release(units);
  if (reply.failed_with(Code::kOutcomeUnknown)) ++stats_.outcomes_unknown;
  if (--calls_ == 0) idle_.set();
  co_return reply;
}

Async<Core::Reply> Core::call_until(const wire::Request& asked, const Buffer& payload,
                                    env::BootTime deadline) {
  auto request = asked;
  const bool change = is_change(request);
  if (change) {
    SQ_CO_TRY(const auto id, co_await session());
    last_number_ = last_number_.next();
    if (auto* m = std::get_if<wire::Write>(&request)) m->session = id, m->number = last_number_;
    if (auto* m = std::get_if<wire::Zero>(&request)) m->session = id, m->number = last_number_;
  }
  bool unanswered = false;  // sent at least once, and no answer to that
  for (;;) {
    bool sent = false, lost = false;
    auto reply = co_await try_once(request, payload, deadline, &sent, &lost);
    if (reply.ok()) co_return reply;
    if (lost && sent) unanswered = true;
    const bool again = lost || worth_repeating(reply.code());
    const bool in_time = loop_.now() + kRetryPause < deadline && !stopping_;
    if (!again || !in_time) {
      // The node may have forgotten the session: the next change opens a new one.
      if (change && reply.code() == Code::kOutcomeUnknown && session_ == session_of(request))
        session_ = {};
      // Only the node's answer to the request itself tells of the attempt before, too: the same
      // number is executed once. What kept it from being sent again tells nothing.
      if (change && unanswered && (again || !sent))
        co_return Error{Code::kOutcomeUnknown,
                        "it may or may not have been done: " + reply.error().message};
      if (stopping_ && again) co_return Error{Code::kCancelled, "the client was stopped"};
      co_return reply;
    }
    ++stats_.retries;
    const auto timer = loop_.add_timer(loop_.now() + kRetryPause, [this] { stop_event_.pulse(); });
    co_await stop_event_.wait();
    loop_.cancel_timer(timer);
  }
}

Async<Core::Reply> Core::try_once(const wire::Request& request, const Buffer& payload,
                                  env::BootTime deadline, bool* sent, bool* lost) {
  auto link = co_await connected(deadline);
  if (!link.ok()) {
    // Refused for good is said at once; anything else may pass.
    *lost = worth_repeating(link.code()) || link.code() == Code::kTimeout;
    co_return std::move(link).error();
  }
  const auto volume = volume_of(request);
  if (volume && !(*link)->opened.contains(*volume)) {
    wire::Request open = wire::OpenVolume{options_.tenant, "", *volume};
    SQ_CO_TRY(co_await (*link)->exchange(open, {}, deadline, lost));
    (*link)->opened.insert(*volume);
  }
  *sent = true;
  auto reply = co_await (*link)->exchange(request, payload, deadline, lost);
  if (reply.ok())
    if (const auto* opened = std::get_if<wire::VolumeOpened>(&reply->answer))
      (*link)->opened.insert(opened->id);
  co_return reply;
}

Async<Core::LinkPtr> Core::connected(env::BootTime deadline) {
  if (link_ && !link_->failed()) co_return link_;
  const auto lock = co_await connecting_.lock();
  if (link_ && !link_->failed()) co_return link_;
  std::erase_if(old_links_, [](const LinkPtr& link) { return link->ended(); });
  if (link_) {
    if (log_) log_(LogLevel::kInfo, "the connection was lost: " + link_->why());
    old_links_.push_back(std::exchange(link_, nullptr));
  }
  if (options_.addresses.empty()) co_return Error{Code::kInvalid, "no address to connect to"};
  Error error{Code::kUnavailable, ""};
  for (std::size_t tries = 0; tries < options_.addresses.size(); ++tries) {
    if (stopping_) co_return Error{Code::kUnavailable, "the client was stopped"};
    const auto left = deadline - loop_.now();
    if (left <= env::Duration(0)) co_return Error{Code::kTimeout, "no connection in time"};
    const auto address = options_.addresses[next_address_ % options_.addresses.size()];
    auto link = co_await connect_one(address, std::min(options_.connect_timeout, left));
    if (link.ok()) {
      link_ = *link;
      if (stopping_) link_->close();
      co_return link_;
    }
    ++next_address_;
    error = std::move(link).error().context("connect to " + address);
  }
  co_return error;
}

Async<Core::LinkPtr> Core::connect_one(const std::string& address, env::Duration timeout) {
  SQ_CO_TRY(auto connection, co_await transport_.connect(address, timeout));
  auto link = std::make_shared<Link>(loop_, std::move(connection), std::chrono::seconds(30));
  auto greeted = co_await link->handshake();
  if (greeted.failed_with(Code::kCancelled))
    co_return Error{Code::kTimeout, "no answer to the first bytes in time"};
  SQ_CO_TRY(std::move(greeted));
  link->start();
  ++stats_.connects;
  co_return link;
}

// Opened when the first change needs it, once for all that wait.
Async<SessionId> Core::session() {
  if (session_ != SessionId()) co_return session_;
  const auto lock = co_await opening_session_.lock();
  if (session_ != SessionId()) co_return session_;
  wire::Request request = wire::OpenSession{options_.tenant, options_.name};
  SQ_CO_TRY(auto reply, co_await call_until(request, {}, loop_.now() + options_.request_timeout));
  const auto* opened = std::get_if<wire::SessionOpened>(&reply.answer);
  SQ_CHECK(opened != nullptr, "decode_reply gives what the type asks for");
  session_ = opened->session;
  last_number_ = {};
  co_return session_;
}

Task<void> Core::stop() {
  if (!stopping_ && link_ && !link_->failed() && session_ != SessionId() && calls_ == 0) {
    // A courtesy: the node ends forgotten sessions by itself.
    bool lost = false;
    wire::Request end = wire::EndSession{options_.tenant, session_};
    const auto deadline = loop_.now() + std::chrono::seconds(1);
    ignore(co_await link_->exchange(end, {}, deadline, &lost), "the node forgets it in time");
  }
  stopping_ = true;
  if (link_) link_->close();
  stop_event_.set();
  co_await idle_.wait();
  if (link_) old_links_.push_back(std::exchange(link_, nullptr));
  while (!old_links_.empty()) {
    const auto link = old_links_.back();
    link->close();
    co_await link->join();
    old_links_.pop_back();
  }
}

}  // namespace square::client
