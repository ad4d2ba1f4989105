#pragma once
// One connection: requests out, replies matched by their ids. It fails once, for good, and then
// everything that waits on it learns so.

#include <map>
#include <set>

#include "client/core.hpp"

namespace square::client {

class Core::Link {
 public:
  Link(env::Loop& loop, std::unique_ptr<env::Connection> connection, env::Duration stall_max);

  // Prologues. Errors: kUnsupported, kCorrupt, kUnavailable.
  Async<> handshake();
  // After the handshake: reads and writes until the connection fails or close().
  void start();
  // `*lost`: the connection failed under it, so that there is no answer.
  Async<Reply> exchange(const format::wire::Request& request, Buffer payload,
                        env::BootTime deadline, bool* lost);
  bool failed() const { return failed_; }
  const std::string& why() const { return why_; }
  void close();
  bool ended() const { return tasks_.size() == 0; }
  auto join() { return tasks_.join(); }

  std::set<VolumeId> opened;

 private:
  struct Pending {
    explicit Pending(env::Loop& loop) : answered(loop) {}
    env::Event answered;
    format::wire::MessageType type{};
    std::optional<Result<Reply>> reply;
    bool lost = false;
  };

  Task<void> receive();
  Async<> receive_all();
  void fail(std::string why);

  env::Loop& loop_;
  std::unique_ptr<env::Connection> connection_;
  format::wire::WireReader reader_;
  format::wire::WireWriter writer_;
  std::map<std::uint64_t, Pending*> pending_;
  std::uint64_t last_request_ = 0;
  bool failed_ = false;
  std::string why_;
  env::Scope tasks_;
};

}  // namespace square::client
