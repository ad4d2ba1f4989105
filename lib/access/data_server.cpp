#include "access/data_server.hpp"

#include <algorithm>
#include <map>

#include "access/identity.hpp"

namespace square::access {

namespace wire = format::wire;

namespace {

// Whose volume a request is about; none for sessions, open and ping.
struct Target {
  TenantId tenant;
  std::optional<VolumeId> volume;
};

Target target_of(const wire::Request& request) {
  return std::visit(
      [](const auto& m) {
        Target target{m.tenant, std::nullopt};
        if constexpr (requires { m.volume; }) target.volume = m.volume;
        return target;
      },
      request);
}

// Bytes that the answer will hold.
std::uint64_t answer_bytes(const wire::Request& request) {
  if (const auto* read = std::get_if<wire::Read>(&request)) return read->length;
  if (const auto* status = std::get_if<wire::BlockStatus>(&request))
    return status->count_max * std::uint64_t{9};
  return 0;
}

Result<> check_shape(const wire::Request& request, std::uint32_t payload_bytes) {
  const bool is_write = std::holds_alternative<wire::Write>(request);
  if (payload_bytes != 0 && !is_write)
    return Error{Code::kCorrupt, "a payload on a request that has none"};
  if (is_write && payload_bytes == 0) return Error{Code::kInvalid, "a write of no bytes"};
  if (const auto* read = std::get_if<wire::Read>(&request);
      read != nullptr && (read->length == 0 || read->length > wire::kPayloadBytesMax))
    return Error{Code::kInvalid,
                 "a read of " + std::to_string(read->length) + " bytes: 1 to 1048576 are allowed"};
  if (const auto* status = std::get_if<wire::BlockStatus>(&request);
      status != nullptr && (status->count_max == 0 || status->count_max > wire::kStatusEntriesMax))
    return Error{Code::kInvalid, "block status of " + std::to_string(status->count_max) +
                                     " runs: 1 to 3000 are allowed"};
  return {};
}

}  // namespace

struct DataServer::Session {
  Session(env::Loop& loop, std::unique_ptr<env::Connection> c, const DataServerOptions& options)
      : connection(std::move(c)),
        reader(*connection),
        writer(loop, *connection, options.stall_max),
        inflight(loop, options.connection_inflight_bytes_max),
        handlers(loop),
        sender(loop) {}

  std::string name() const {
    return connection->peer().subject.empty() ? "a peer without a name"
                                              : connection->peer().subject;
  }

  std::unique_ptr<env::Connection> connection;
  wire::WireReader reader;
  wire::WireWriter writer;
  env::Budget inflight;
  Result<> permitted;
  std::map<VolumeId, TenantId> opened;
  env::Scope handlers, sender;
};

DataServer::DataServer(env::Loop& loop, DataService& service, DataServerOptions options,
                       LogSink log)
    : loop_(loop),
      service_(service),
      options_(std::move(options)),
      log_(std::move(log)),
      inflight_(loop, options_.inflight_bytes_max),
      scope_(loop) {}

DataServer::~DataServer() = default;

void DataServer::say(LogLevel level, const std::string& message) {
  if (log_) log_(level, message);
}

void DataServer::serve(std::unique_ptr<env::Listener> listener) {
  listeners_.push_back(std::move(listener));
  scope_.spawn(accept_all(listeners_.back().get()));
}

DataServerStats DataServer::stats() const {
  auto stats = stats_;
  stats.connections = sessions_.size();
  stats.inflight_bytes = inflight_.used();
  return stats;
}

Task<void> DataServer::accept_all(env::Listener* listener) {
  while (!stopping_) {
    auto connection = co_await listener->accept();
    if (!connection.ok()) {
      if (connection.code() == Code::kCancelled) co_return;
      say(LogLevel::kWarning, "accepting a connection: " + connection.error().message);
      co_await env::sleep_for(loop_, std::chrono::milliseconds(100));  // out of descriptors, say
      continue;
    }
    if (stopping_ || sessions_.size() >= options_.connections_max) {
      ++stats_.connections_refused;
      say(LogLevel::kWarning, "refused a connection of " + (*connection)->peer().subject +
                                  ": there are " + std::to_string(sessions_.size()) + " already");
      (*connection)->close();
      continue;
    }
    ++stats_.connections_total;
    scope_.spawn(run_session(std::move(connection).value()));
  }
}

Task<void> DataServer::run_session(std::unique_ptr<env::Connection> connection) {
  Session session(loop_, std::move(connection), options_);
  if (stopping_) co_return;  // stop() came between accept and now, and has not seen this one
  const auto self = sessions_.insert(sessions_.end(), &session);
  session.permitted = permit(options_.cell, session.connection->peer(), Action::kData);
  const auto read = co_await read_requests(session);
  if (!read.ok() && read.code() != Code::kCancelled) {
    const bool garbage = read.code() == Code::kCorrupt || read.code() == Code::kUnsupported;
    if (garbage) ++stats_.protocol_errors;
    say(garbage ? LogLevel::kWarning : LogLevel::kInfo,
        "closed the connection of " + session.name() + ": " + read.error().message);
    if (garbage) session.connection->close();
  }
  co_await session.handlers.join();
  session.writer.close();
  co_await session.sender.join();
  session.connection->close();
  sessions_.erase(self);
}

Async<> DataServer::handshake(Session& session) {
  wire::Deadline deadline(loop_, *session.connection, options_.stall_max);
  SQ_CO_TRY(const auto theirs, co_await session.reader.prologue());
  const wire::Prologue mine;
  BufferChain hello{Buffer::copy_of(wire::encode(mine))};
  SQ_CO_TRY(co_await session.connection->write(std::move(hello)));
  SQ_CO_TRY(wire::agree_version(mine, theirs));
  co_return {};
}

Async<> DataServer::read_requests(Session& session) {
  SQ_CO_TRY(co_await handshake(session));
  session.sender.spawn(session.writer.run());
  for (;;) {
    SQ_CO_TRY(auto incoming, co_await session.reader.next());
    if (!incoming) co_return {};
    SQ_CO_TRY(co_await take_request(session, std::move(*incoming)));
  }
}

// Errors end the connection; what is only wrong with this request is answered.
Async<> DataServer::take_request(Session& session, wire::Incoming incoming) {
  const auto& frame = incoming.frame;
  if (frame.reply) co_return Error{Code::kCorrupt, "a client sent a reply"};
  SQ_CO_TRY(auto request, wire::decode_request(frame.type, incoming.header));
  auto shape = check_shape(request, frame.payload_bytes);
  if (shape.failed_with(Code::kCorrupt)) co_return shape;
  ++stats_.requests;
  stats_.payload_in_bytes += frame.payload_bytes;

  const auto units = shape.ok()
                         ? frame.payload_bytes + answer_bytes(request) + incoming.header.size()
                         : incoming.header.size();
  co_await session.inflight.acquire(units);
  co_await inflight_.acquire(units);
  const auto release = [&] {
    session.inflight.release(units);
    inflight_.release(units);
  };
  Result<Buffer> payload{Buffer()};
  {
    wire::Deadline deadline(loop_, *session.connection, options_.stall_max);
    payload = co_await session.reader.payload(frame.payload_bytes);
  }
  if (!payload.ok()) {
    release();
    co_return std::move(payload).error();
  }
  if (shape.ok() && stopping_) shape = Error{Code::kUnavailable, "the node is shutting down"};
  if (!shape.ok()) {
    ++stats_.request_errors;
    release();
    session.writer.send({frame.type, true, frame.request}, wire::encode_reply(shape.error()), {});
    co_return {};
  }
  session.handlers.spawn(
      handle(session, frame, std::move(request), std::move(payload).value(), units));
  co_return {};
}

Task<void> DataServer::handle(Session& session, wire::Frame frame, wire::Request request,
                              Buffer payload, std::uint64_t units) {
  Buffer out;
  const auto reply = co_await answer(session, std::move(request), std::move(payload), &out);
  if (!reply.ok()) ++stats_.request_errors;
  stats_.payload_out_bytes += out.size();
  session.writer.send({frame.type, true, frame.request}, wire::encode_reply(reply), std::move(out),
                      [this, &session, units] {
                        session.inflight.release(units);
                        inflight_.release(units);
                      });
}

Async<wire::Answer> DataServer::answer(Session& session, wire::Request request, Buffer payload,
                                       Buffer* out) {
  SQ_CO_TRY(session.permitted);
  const auto target = target_of(request);
  if (target.volume) {
    const auto found = session.opened.find(*target.volume);
    if (found == session.opened.end() || found->second != target.tenant)
      co_return Error{Code::kInvalid, "volume " + std::to_string(target.volume->value) +
                                          " was not opened on this connection"};
  }
  if (auto* m = std::get_if<wire::Write>(&request)) {
    SQ_CO_TRY(co_await service_.write(std::move(*m), std::move(payload)));
  } else if (auto* m = std::get_if<wire::Read>(&request)) {
    SQ_CO_TRY(*out, co_await service_.read(std::move(*m)));
  } else if (auto* m = std::get_if<wire::Zero>(&request)) {
    SQ_CO_TRY(co_await service_.zero(*m));
  } else if (auto* m = std::get_if<wire::BlockStatus>(&request)) {
    wire::BlockStatusIs is;
    SQ_CO_TRY(is.runs, co_await service_.block_status(std::move(*m)));
    co_return wire::Answer(std::move(is));
  } else if (auto* m = std::get_if<wire::OpenVolume>(&request)) {
    SQ_CO_TRY(auto volume, co_await service_.open_volume(std::move(*m)));
    session.opened[volume.id] = target.tenant;
    co_return wire::Answer(std::move(volume));
  } else if (auto* m = std::get_if<wire::OpenSession>(&request)) {
    wire::SessionOpened opened;
    SQ_CO_TRY(opened.session, co_await service_.open_session(std::move(*m)));
    co_return wire::Answer(opened);
  } else if (auto* m = std::get_if<wire::EndSession>(&request)) {
    SQ_CO_TRY(co_await service_.end_session(*m));
  }
  // Flush and ping: every acknowledged write is durable already.
  co_return wire::Answer(wire::Done{});
}

Task<void> DataServer::stop() {
  stopping_ = true;
  for (auto& listener : listeners_) listener->close();
  for (auto* session : sessions_)
    if (session->handlers.size() == 0) session->connection->close();
  // The busy ones close when their answers are out. Each may end by itself meanwhile.
  const std::vector<Session*> busy(sessions_.begin(), sessions_.end());
  const auto alive = [this](Session* s) {
    return std::ranges::find(sessions_, s) != sessions_.end();
  };
  for (auto* session : busy) {
    if (alive(session)) co_await session->handlers.join();
    if (!alive(session)) continue;
    session->writer.close();
    co_await session->sender.join();
    if (alive(session)) session->connection->close();
  }
  co_await scope_.join();
}

}  // namespace square::access
