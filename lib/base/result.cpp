#include "base/result.hpp"

namespace square {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not_found";
    case Code::kExists: return "exists";
    case Code::kConflict: return "conflict";
    case Code::kNoSpace: return "no_space";
    case Code::kIo: return "io";
    case Code::kCorrupt: return "corrupt";
    case Code::kBusy: return "busy";
    case Code::kUnavailable: return "unavailable";
    case Code::kTimeout: return "timeout";
    case Code::kOutcomeUnknown: return "outcome_unknown";
    case Code::kFenced: return "fenced";
    case Code::kCancelled: return "cancelled";
    case Code::kUnsupported: return "unsupported";
    case Code::kDenied: return "denied";
    case Code::kDataLoss: return "data_loss";
  }
  return "unknown";
}

}  // namespace square
