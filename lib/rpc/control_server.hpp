#pragma once
// The control plane of a node that stores data.

#include "access/control_service.hpp"
#include "rpc/loop_calls.hpp"

namespace square::rpc {

class ControlServer {
 public:
  ControlServer(env::Loop& loop, access::ControlService& service, ServerOptions options,
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
