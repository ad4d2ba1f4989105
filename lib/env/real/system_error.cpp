#include "env/real/system_error.hpp"

#include <cerrno>
#include <cstring>

namespace square::env {

namespace {

Code code_of(int number) {
  switch (number) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ENOTDIR: return Code::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS: return Code::kDenied;
    case EBUSY:
    case EADDRINUSE:
    case EMFILE:
    case ENFILE: return Code::kBusy;
    case ENOSPC:
    case EDQUOT: return Code::kNoSpace;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: return Code::kInvalid;
    case EEXIST: return Code::kExists;
    case ETIMEDOUT: return Code::kTimeout;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN: return Code::kUnavailable;
    default: return Code::kIo;
  }
}

}  // namespace

Error system_error(std::string_view what) { return system_error(what, errno); }

Error system_error(std::string_view what, int number) {
  return Error{code_of(number), std::string(what) + ": " + std::strerror(number)};
}

}  // namespace square::env
