#pragma once
// The control plane's client, apart from the data path's library because it needs gRPC.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>

#include <square/v1/control.grpc.pb.h>
#include "client/config.hpp"
#include "rpc/status.hpp"

namespace square::client {

class Admin {
 public:
  using Stub = v1::Control::Stub;
  template <class Request, class Reply>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Reply*);

  // Errors: kInvalid (no control plane in the configuration).
  static Result<std::unique_ptr<Admin>> connect(const Config& config);

  // `change`: an answer that is lost leaves the outcome unknown.
  template <class Request, class Reply>
  Result<Reply> call(Method<Request, Reply> method, const Request& request, bool change,
                     std::chrono::seconds timeout = std::chrono::seconds(60)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    Reply reply;
    const auto status = (stub_.get()->*method)(&context, request, &reply);
    if (!status.ok()) return rpc::from_status(status, change);
    return reply;
  }
  template <class Request, class Reply>
  Result<Reply> look(Method<Request, Reply> method, const Request& request = {}) {
    return call(method, request, false);
  }
  template <class Request, class Reply>
  Result<Reply> change(Method<Request, Reply> method, const Request& request) {
    return call(method, request, true);
  }

 private:
  explicit Admin(std::unique_ptr<Stub> stub) : stub_(std::move(stub)) {}
  std::unique_ptr<Stub> stub_;
};

}  // namespace square::client
