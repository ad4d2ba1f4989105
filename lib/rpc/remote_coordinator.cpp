#include "rpc/remote_coordinator.hpp"

#include <grpcpp/grpcpp.h>

#include <list>

#include <square/v1/coordinator.grpc.pb.h>
#include "env/sync.hpp"
#include "rpc/coordination_convert.hpp"
#include "rpc/status.hpp"

namespace square::rpc {

namespace {

using cluster::CoordinatorAnswer;
using Calls = class v1::Coordinator::Stub::async;

// Lives until gRPC has called back, whoever still waits.
template <class Request, class Reply>
struct Call {
  explicit Call(env::Loop& loop) : done(loop) {}
  grpc::ClientContext context;
  Request request;
  Reply reply;
  grpc::Status status;
  env::Event done;
};

}  // namespace

class RemoteCoordinator::Impl {
 public:
  Impl(env::Loop& loop, RemoteCoordinatorOptions options,
       std::shared_ptr<grpc::ChannelCredentials> credentials)
      : loop_(loop), options_(std::move(options)), idle_(loop) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // A coordinator that was restarted is found again within a second.
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    stub_ = v1::Coordinator::NewStub(
        grpc::CreateCustomChannel(options_.address, std::move(credentials), arguments));
  }

  template <class Request, class Reply>
  using Method = void (Calls::*)(grpc::ClientContext*, const Request*, Reply*,
                                 std::function<void(grpc::Status)>);

  // `change`: an answer that is lost leaves the outcome unknown.
  template <class Request, class Reply>
  Async<Reply> call(Method<Request, Reply> method, Request request, bool change,
                    env::Duration timeout) {
    if (stopping_) co_return Error{Code::kUnavailable, "the coordinator's client is stopping"};
    const auto call = std::make_shared<Call<Request, Reply>>(loop_);
    call->request = std::move(request);
    const std::chrono::nanoseconds deadline(loop_.wall().ns + timeout.count());
    call->context.set_deadline(std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline)));
    const auto listed = contexts_.insert(contexts_.end(), &call->context);
    (stub_->async()->*method)(&call->context, &call->request, &call->reply,
                              [call, &loop = loop_](grpc::Status status) {
                                loop.post_from_any_thread([call, status = std::move(status)] {
                                  call->status = status;
                                  call->done.set();
                                });
                              });
    co_await call->done.wait();
    contexts_.erase(listed);
    if (contexts_.empty()) idle_.pulse();
    if (!call->status.ok())
      co_return from_status(call->status, change).context("coordinator " + options_.address);
    co_return std::move(call->reply);
  }

  Task<void> stop() {
    stopping_ = true;
    for (auto* context : contexts_) context->TryCancel();
    while (!contexts_.empty()) co_await idle_.wait();
  }

  env::Duration timeout() const { return options_.call_timeout; }

 private:
  env::Loop& loop_;
  RemoteCoordinatorOptions options_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  std::list<grpc::ClientContext*> contexts_;  // of calls in flight
  env::Event idle_;
  bool stopping_ = false;
};

RemoteCoordinator::RemoteCoordinator(env::Loop& loop, RemoteCoordinatorOptions options,
                                     std::shared_ptr<grpc::ChannelCredentials> credentials)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(credentials))) {}
RemoteCoordinator::~RemoteCoordinator() = default;
Task<void> RemoteCoordinator::stop() { return impl_->stop(); }

Async<CoordinatorAnswer> RemoteCoordinator::read(GroupId group) {
  v1::CoordinatedGroup request;
  request.set_group(group.value);
  const auto reply = co_await impl_->call<v1::CoordinatedGroup, v1::CoordinatorAnswer>(
      &Calls::ReadGroup, std::move(request), false, impl_->timeout());
  if (!reply.ok()) co_return reply.error();
  co_return answer_of(*reply);
}

Async<CoordinatorAnswer> RemoteCoordinator::compare_and_swap(std::uint64_t expected,
                                                             format::GroupRecord wanted) {
  v1::CompareAndSwapRequest request;
  request.set_expected(expected);
  fill(wanted, *request.mutable_wanted());
  const auto reply = co_await impl_->call<v1::CompareAndSwapRequest, v1::CoordinatorAnswer>(
      &Calls::CompareAndSwapGroup, std::move(request), true, impl_->timeout());
  if (!reply.ok()) co_return reply.error();
  auto answer = answer_of(*reply);
  // Whatever stands in an answer that cannot be read, the swap may have been made.
  if (!answer.ok()) co_return Error{Code::kOutcomeUnknown, answer.error().message};
  co_return answer;
}

Async<bool> RemoteCoordinator::wait_for_change(std::uint64_t known, env::Duration at_most) {
  v1::WaitForChangeRequest request;
  request.set_known(known);
  request.set_at_most_ns(static_cast<std::uint64_t>(std::max<std::int64_t>(0, at_most.count())));
  const auto waited = co_await impl_->call<v1::WaitForChangeRequest, v1::WaitedForChange>(
      &Calls::WaitForChange, std::move(request), false, at_most + impl_->timeout());
  if (!waited.ok()) co_return waited.error();
  co_return waited->changed();
}

Async<std::vector<format::GroupRecord>> RemoteCoordinator::list() {
  const auto reply = co_await impl_->call<v1::ListGroupRecordsRequest, v1::GroupRecordList>(
      &Calls::ListGroupRecords, {}, false, impl_->timeout());
  if (!reply.ok()) co_return reply.error();
  std::vector<format::GroupRecord> records;
  for (const auto& message : reply->records()) {
    SQ_CO_TRY(auto record, record_of(message));
    records.push_back(std::move(record));
  }
  co_return records;
}

}  // namespace square::rpc
