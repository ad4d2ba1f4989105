#include "rpc/loop_calls.hpp"

#include <grpc/grpc.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include "rpc/status.hpp"

namespace square::rpc {

namespace {

constexpr int kMessageBytesMax = 4 << 20;
constexpr int kMetadataBytesMax = 16 << 10;
constexpr int kStreamsMax = 64;

env::PeerIdentity identity_of(const grpc::CallbackServerContext& context) {
  const auto auth = context.auth_context();
  if (!auth) return {};
  for (const auto& name : auth->FindPropertyValues("peer_uri")) {
    auto who = access::parse_identity({name.data(), name.size()});
    if (who.ok()) return std::move(who).value();
  }
  return {};
}

}  // namespace

Result<> LoopCalls::listen(grpc::Service& service,
                           std::shared_ptr<grpc::ServerCredentials> credentials) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options_.address, std::move(credentials), &port);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("control");
  quota.Resize(64u << 20).SetMaxThreads(16);
  builder.SetResourceQuota(quota);
  builder.RegisterService(&service);
  server_ = builder.BuildAndStart();
  if (!server_ || port == 0)
    return Error{Code::kBusy, "the control plane cannot listen on " + options_.address +
                                  ": the port is taken, or the certificates cannot be used"};
  address_ = options_.address.substr(0, options_.address.rfind(':') + 1) + std::to_string(port);
  return {};
}

grpc::ServerUnaryReactor* LoopCalls::run(const char* name, grpc::CallbackServerContext* context,
                                         access::Action action, std::function<Async<>()> work) {
  auto* reactor = context->DefaultReactor();
  const auto who = identity_of(*context);
  const auto permitted = access::permit(options_.cell, who, action);
  if (!permitted.ok()) {
    reactor->Finish(to_status(permitted.error()));
    return reactor;
  }
  if (calls_.fetch_add(1) >= options_.calls_max) {
    calls_.fetch_sub(1);
    reactor->Finish(to_status({Code::kBusy, "too many control calls at once"}));
    return reactor;
  }
  loop_.post_from_any_thread([this, name, who, action, reactor, context, work = std::move(work)] {
    if (action == access::Action::kControl && log_)
      log_(LogLevel::kInfo, who.subject + " calls " + name);
    if (context->IsCancelled()) return finish(reactor, Error{Code::kCancelled, "too late"});
    scope_.spawn(serve(reactor, work));
  });
  return reactor;
}

Task<void> LoopCalls::serve(grpc::ServerUnaryReactor* reactor, std::function<Async<>()> work) {
  finish(reactor, co_await work());
}

void LoopCalls::finish(grpc::ServerUnaryReactor* reactor, const Result<>& result) {
  calls_.fetch_sub(1);
  reactor->Finish(result.ok() ? grpc::Status::OK : to_status(result.error()));
}

Task<void> LoopCalls::stop() {
  if (!server_) co_return;
  auto* server = server_.get();
  co_await env::offload(loop_, [server] {
    server->Shutdown(gpr_time_from_seconds(5, GPR_TIMESPAN));
    return true;
  });
  co_await scope_.join();
  server_.reset();
}

}  // namespace square::rpc
