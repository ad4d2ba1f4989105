#pragma once
// GET and nothing else, for metrics and health: one thread of its own, so that a loop that hangs is
// seen, and one request at a time, each with 2 s.

#include <functional>
#include <memory>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"

namespace square::daemon {

struct HttpReply {
  int status = 200;
  std::string body;
};

// The request line of `head` as a path, without its query. Errors: kInvalid, kUnsupported (method).
Result<std::string> http_path(std::string_view head);
std::string http_text(const HttpReply& reply);

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const std::string& path)>;  // on the server's thread

  // Errors: kInvalid (address), kBusy (port taken).
  static Result<std::unique_ptr<HttpServer>> start(const std::string& address, Handler handler);
  // Ends the request at hand, and the thread.
  ~HttpServer();
  const std::string& address() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::daemon
