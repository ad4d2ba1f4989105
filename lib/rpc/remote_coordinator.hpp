#pragma once
// A coordinator that another process serves.

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "cluster/coordinator.hpp"

namespace square::rpc {

struct RemoteCoordinatorOptions {
  std::string address;  // "host:port"
  // A call ends by then, with an error that says whether it may have been done.
  env::Duration call_timeout = std::chrono::seconds(5);
};

class RemoteCoordinator final : public cluster::Coordinator {
 public:
  RemoteCoordinator(env::Loop& loop, RemoteCoordinatorOptions options,
                    std::shared_ptr<grpc::ChannelCredentials> credentials);
  // After stop().
  ~RemoteCoordinator() override;

  Async<cluster::CoordinatorAnswer> read(GroupId group) override;
  Async<cluster::CoordinatorAnswer> compare_and_swap(std::uint64_t expected,
                                                     format::GroupRecord wanted) override;
  Async<bool> wait_for_change(std::uint64_t known, env::Duration at_most) override;
  Async<std::vector<format::GroupRecord>> list() override;

  // Calls in flight end with kCancelled, or kOutcomeUnknown for changes; resumes when they have.
  // New ones are refused.
  Task<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::rpc
