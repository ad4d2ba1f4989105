#pragma once
// Serves the data plane: handshake, identity, limits, then the DataService. One loop.
//
// Whatever a peer sends, memory stays within the budget: a request waits, unread, until its payload
// and its answer fit. Garbage, a peer that stalls inside a message, or one that does not take its
// answers ends that connection with a line in the log, and nothing else.

#include <list>
#include <memory>

#include "access/data_service.hpp"
#include "base/log.hpp"
#include "env/sync.hpp"
#include "env/transport.hpp"
#include "format/wire_stream.hpp"

namespace square::access {

struct DataServerOptions {
  std::string cell{};  // whose certificates are taken; empty: no check (simulated transport)
  std::size_t connections_max = 512;
  std::uint64_t inflight_bytes_max = 64u << 20;             // of all connections
  std::uint64_t connection_inflight_bytes_max = 16u << 20;  // of one
  env::Duration stall_max = std::chrono::seconds(30);
};

struct DataServerStats {
  std::uint64_t connections = 0, connections_total = 0, connections_refused = 0;
  std::uint64_t protocol_errors = 0, requests = 0, request_errors = 0;
  std::uint64_t inflight_bytes = 0, payload_in_bytes = 0, payload_out_bytes = 0;
};

class DataServer {
 public:
  DataServer(env::Loop& loop, DataService& service, DataServerOptions options, LogSink log);
  ~DataServer();
  // Accepts on `listener` until stop().
  void serve(std::unique_ptr<env::Listener> listener);
  DataServerStats stats() const;
  // No new connection, new requests get kUnavailable, those in flight are finished and answered,
  // then connections close. Idempotent.
  Task<void> stop();

 private:
  struct Session;
  Task<void> accept_all(env::Listener* listener);
  Task<void> run_session(std::unique_ptr<env::Connection> connection);
  Async<> read_requests(Session& session);
  Async<> handshake(Session& session);
  Async<> take_request(Session& session, format::wire::Incoming incoming);
  Task<void> handle(Session& session, format::wire::Frame frame, format::wire::Request request,
                    Buffer payload, std::uint64_t units);
  Async<format::wire::Answer> answer(Session& session, format::wire::Request request,
                                     Buffer payload, Buffer* out);
  void say(LogLevel level, const std::string& message);

  env::Loop& loop_;
  DataService& service_;
  DataServerOptions options_;
  LogSink log_;
  env::Budget inflight_;
  DataServerStats stats_;
  std::vector<std::unique_ptr<env::Listener>> listeners_;
  std::list<Session*> sessions_;
  bool stopping_ = false;
  env::Scope scope_;
};

}  // namespace square::access
