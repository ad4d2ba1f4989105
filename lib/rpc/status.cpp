#include "rpc/status.hpp"

#include <charconv>

namespace square::rpc {

namespace {

grpc::StatusCode grpc_code(Code code) {
  switch (code) {
    case Code::kInvalid: return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case Code::kExists: return grpc::StatusCode::ALREADY_EXISTS;
    case Code::kConflict: return grpc::StatusCode::ABORTED;
    case Code::kNoSpace:
    case Code::kBusy: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::kIo: return grpc::StatusCode::INTERNAL;
    case Code::kCorrupt:
    case Code::kDataLoss: return grpc::StatusCode::DATA_LOSS;
    case Code::kUnavailable: return grpc::StatusCode::UNAVAILABLE;
    case Code::kTimeout: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case Code::kOutcomeUnknown: return grpc::StatusCode::UNKNOWN;
    case Code::kFenced: return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::kCancelled: return grpc::StatusCode::CANCELLED;
    case Code::kUnsupported: return grpc::StatusCode::UNIMPLEMENTED;
    case Code::kDenied: return grpc::StatusCode::PERMISSION_DENIED;
  }
  return grpc::StatusCode::UNKNOWN;
}

// What gRPC itself says, without a handler of ours behind it.
Code own_code(const grpc::Status& status, bool change) {
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT: return Code::kInvalid;
    case grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return Code::kExists;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return Code::kBusy;
    case grpc::StatusCode::UNIMPLEMENTED: return Code::kUnsupported;
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED: return Code::kDenied;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return change ? Code::kOutcomeUnknown : Code::kTimeout;
    case grpc::StatusCode::UNAVAILABLE: {
      // Only a call that found no connection is known not to have arrived.
      const bool never_sent = status.error_message().find("failed to connect") != std::string::npos;
      return change && !never_sent ? Code::kOutcomeUnknown : Code::kUnavailable;
    }
    default: return change ? Code::kOutcomeUnknown : Code::kUnavailable;
  }
}

}  // namespace

grpc::Status to_status(const Error& error) {
  return {grpc_code(error.code), error.message, std::to_string(static_cast<int>(error.code))};
}

Error from_status(const grpc::Status& status, bool change) {
  const auto& details = status.error_details();
  int code = 0;
  const auto end = details.data() + details.size();
  const auto parsed = std::from_chars(details.data(), end, code);
  if (parsed.ec == std::errc() && parsed.ptr == end && code >= 1 &&
      code <= static_cast<int>(Code::kDataLoss))
    return {static_cast<Code>(code), status.error_message()};
  return {own_code(status, change), status.error_message()};
}

}  // namespace square::rpc
