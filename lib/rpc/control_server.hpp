#pragma once
// The control plane: small handlers on gRPC's threads that hop to the loop, where everything is
// done, and answer from there.

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "access/control_service.hpp"
#include "base/log.hpp"
#include "env/loop.hpp"

namespace square::rpc {

struct ControlServerOptions {
  std::string address{};  // "host:port"; port 0 is chosen
  std::string cell{};     // whose certificates are taken; empty: no check (tests without TLS)
  std::size_t calls_max = 256;
};

class ControlServer {
 public:
  ControlServer(env::Loop& loop, access::ControlService& service, ControlServerOptions options,
                LogSink log);
  ~ControlServer();
  // Errors: kBusy (the port is taken, or the credentials are unusable).
  Result<> start(std::shared_ptr<grpc::ServerCredentials> credentials);
  // With the port that was chosen.
  const std::string& address() const;
  // In flight. Any thread.
  std::size_t calls() const;
  // No new calls; those in flight have 5 s. Loop thread. Idempotent.
  Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::rpc
