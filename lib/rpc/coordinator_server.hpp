#pragma once
// A coordinator for the nodes of a cell. Nodes and operators change records; clients may look.

#include "cluster/coordinator.hpp"
#include "rpc/loop_calls.hpp"

namespace square::rpc {

class CoordinatorServer {
 public:
  CoordinatorServer(env::Loop& loop, cluster::Coordinator& coordinator, ServerOptions options,
                    LogSink log);
  ~CoordinatorServer();
  // As LoopCalls.
  Result<> start(std::shared_ptr<grpc::ServerCredentials> credentials);
  const std::string& address() const;
  std::size_t calls() const;
  Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::rpc
