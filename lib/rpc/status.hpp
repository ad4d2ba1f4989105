#pragma once
// Square's errors as gRPC statuses and back. The details carry the code as decimal text, so that
// nothing is lost between kFenced and kDenied.

#include <grpcpp/support/status.h>

#include "base/result.hpp"

namespace square::rpc {

grpc::Status to_status(const Error& error);

// `change`: the call changes something, so that an answer that is lost leaves it unknown.
Error from_status(const grpc::Status& status, bool change);

}  // namespace square::rpc
