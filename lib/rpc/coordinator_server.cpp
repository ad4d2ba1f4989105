#include "rpc/coordinator_server.hpp"

#include <algorithm>

#include <square/v1/coordinator.grpc.pb.h>
#include "rpc/coordination_convert.hpp"

namespace square::rpc {

namespace {

using access::Action;
using cluster::Coordinator;

constexpr env::Duration kWaitMax = std::chrono::seconds(60);
constexpr env::Duration kStopFelt = std::chrono::seconds(1);  // by those who wait for a change

// ---- what each call does, on the loop. Request and reply live until the call is finished.

Async<> read_group(Coordinator& c, const v1::CoordinatedGroup& q, v1::CoordinatorAnswer& r) {
  SQ_CO_TRY(const auto answer, co_await c.read(GroupId(q.group())));
  fill(answer, r);
  co_return {};
}

Async<> compare_and_swap(Coordinator& c, const v1::CompareAndSwapRequest& q,
                         v1::CoordinatorAnswer& r) {
  SQ_CO_TRY(auto wanted, record_of(q.wanted()));
  SQ_CO_TRY(const auto answer, co_await c.compare_and_swap(q.expected(), std::move(wanted)));
  fill(answer, r);
  co_return {};
}

Async<> list_records(Coordinator& c, const v1::ListGroupRecordsRequest&, v1::GroupRecordList& r) {
  SQ_CO_TRY(const auto records, co_await c.list());
  for (const auto& record : records) fill(record, *r.add_records());
  co_return {};
}

}  // namespace

class CoordinatorServer::Impl final : public v1::Coordinator::CallbackService {
 public:
  Impl(env::Loop& loop, Coordinator& coordinator, ServerOptions options, LogSink log)
      : calls(loop, std::move(options), std::move(log)), loop_(loop), coordinator_(coordinator) {}

  LoopCalls calls;

  Task<void> stop() {
    stopping_ = true;
    co_await calls.stop();
  }

#define SQ_COORDINATOR_CALL(Name, Request, Reply, action, function)                                \
  grpc::ServerUnaryReactor* Name(grpc::CallbackServerContext* context, const v1::Request* request, \
                                 v1::Reply* reply) override {                                      \
    return calls.run(#Name, context, action,                                                       \
                     [=, this] { return function(coordinator_, *request, *reply); });              \
  }
  SQ_COORDINATOR_CALL(ReadGroup, CoordinatedGroup, CoordinatorAnswer, Action::kView, read_group)
  SQ_COORDINATOR_CALL(CompareAndSwapGroup, CompareAndSwapRequest, CoordinatorAnswer,
                      Action::kControl, compare_and_swap)
  SQ_COORDINATOR_CALL(ListGroupRecords, ListGroupRecordsRequest, GroupRecordList, Action::kView,
                      list_records)
#undef SQ_COORDINATOR_CALL
  grpc::ServerUnaryReactor* WaitForChange(grpc::CallbackServerContext* context,
                                          const v1::WaitForChangeRequest* request,
                                          v1::WaitedForChange* reply) override {
    return calls.run("WaitForChange", context, Action::kView,
                     [=, this] { return wait_for_change(context, *request, reply); });
  }

 private:
  // Not for longer than its client, or this server, is there.
  Async<> wait_for_change(grpc::CallbackServerContext* context, v1::WaitForChangeRequest request,
                          v1::WaitedForChange* reply) {
    const auto limit = static_cast<std::uint64_t>(kWaitMax.count());
    const env::Duration at_most(
        static_cast<std::int64_t>(std::min<std::uint64_t>(request.at_most_ns(), limit)));
    const auto end = loop_.now() + at_most;
    while (!stopping_ && !context->IsCancelled() && loop_.now() < end) {
      SQ_CO_TRY(const bool changed, co_await coordinator_.wait_for_change(
                                        request.known(), std::min(kStopFelt, end - loop_.now())));
      reply->set_changed(changed);
      if (changed) break;
    }
    co_return {};
  }

  env::Loop& loop_;
  bool stopping_ = false;  // on the loop
  Coordinator& coordinator_;
};

CoordinatorServer::CoordinatorServer(env::Loop& loop, Coordinator& coordinator,
                                     ServerOptions options, LogSink log)
    : impl_(std::make_unique<Impl>(loop, coordinator, std::move(options), std::move(log))) {}
CoordinatorServer::~CoordinatorServer() = default;
Result<> CoordinatorServer::start(std::shared_ptr<grpc::ServerCredentials> credentials) {
  return impl_->calls.listen(*impl_, std::move(credentials));
}
const std::string& CoordinatorServer::address() const { return impl_->calls.address(); }
std::size_t CoordinatorServer::calls() const { return impl_->calls.calls(); }
Task<void> CoordinatorServer::stop() { return impl_->stop(); }

}  // namespace square::rpc
