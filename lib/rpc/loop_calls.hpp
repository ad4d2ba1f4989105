#pragma once
// A gRPC server whose calls hop to the loop, where everything is done, and are answered from there.

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "access/identity.hpp"
#include "base/log.hpp"
#include "env/sync.hpp"

namespace square::rpc {

struct ServerOptions {
  std::string address{};  // "host:port"; port 0 is chosen
  std::string cell{};     // whose certificates are taken; empty: no check (tests without TLS)
  std::size_t calls_max = 256;
};

class LoopCalls {
 public:
  LoopCalls(env::Loop& loop, ServerOptions options, LogSink log)
      : loop_(loop), options_(std::move(options)), log_(std::move(log)), scope_(loop) {}

  // Errors: kBusy (the port is taken, or the credentials are unusable).
  Result<> listen(grpc::Service& service, std::shared_ptr<grpc::ServerCredentials> credentials);
  // With the port that was chosen.
  const std::string& address() const { return address_; }
  // In flight. Any thread.
  std::size_t calls() const { return calls_; }
  // From a gRPC thread: checks rights, then runs `work` on the loop and finishes the call with what
  // it gives. Changes are logged under `name`.
  grpc::ServerUnaryReactor* run(const char* name, grpc::CallbackServerContext* context,
                                access::Action action, std::function<Async<>()> work);
  // No new calls; those in flight have 5 s. Loop thread. Idempotent.
  Task<void> stop();

 private:
  Task<void> serve(grpc::ServerUnaryReactor* reactor, std::function<Async<>()> work);
  void finish(grpc::ServerUnaryReactor* reactor, const Result<>& result);

  env::Loop& loop_;
  ServerOptions options_;
  LogSink log_;
  std::atomic<std::size_t> calls_{0};
  std::string address_;
  env::Scope scope_;  // touched on the loop only
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace square::rpc
