#pragma once
// The client's side of the data plane, as coroutines of one loop. No threads, no gRPC: Client
// (client.hpp) puts a loop thread around it.
//
// A call goes on until it is answered or its time is over: a lost connection is made again, and the
// request sent again under the same session and number, which the node answers from its session
// table if it had done it. What a call says:
//   ok                          done, and durable
//   kOutcomeUnknown             sent, and no answer in time: it may or may not have been done
//   kTimeout, kUnavailable      not done
//   any other error             the node's; not done

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "env/random.hpp"
#include "env/sync.hpp"
#include "env/transport.hpp"
#include "format/wire_stream.hpp"

namespace square::client {

struct CoreOptions {
  std::vector<std::string> addresses{};  // "host:port" of data planes, tried in turn
  TenantId tenant{1};
  std::string name{};  // shown in the node's log
  env::Duration connect_timeout = std::chrono::seconds(5);
  env::Duration request_timeout = std::chrono::seconds(60);
  std::uint64_t inflight_bytes_max = 64u << 20;
};

struct CoreStats {
  std::uint64_t requests = 0, retries = 0, connects = 0, outcomes_unknown = 0;
};

using VolumeInfo = format::wire::VolumeOpened;
using StatusRun = format::wire::StatusRun;

class Core {
 public:
  Core(env::Loop& loop, env::Transport& transport, CoreOptions options, LogSink log = {});
  ~Core();

  // Looks the volume up, and makes it usable here. Errors: kNotFound, kDenied.
  Async<VolumeInfo> open(std::string name);
  // Offsets and lengths in units of 512 bytes; up to 1 MiB. `data` must not change until it ends.
  Async<> write(VolumeId volume, std::uint64_t offset, Buffer data);
  Async<Buffer> read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                     std::string snapshot = {});
  // Reads as zeros afterwards. Any length.
  Async<> zero(VolumeId volume, std::uint64_t offset, std::uint64_t length);
  Async<> flush(VolumeId volume);
  // From `offset` on; covers at least one run, perhaps not the whole length.
  Async<std::vector<StatusRun>> block_status(VolumeId volume, std::uint64_t offset,
                                             std::uint64_t length, std::uint32_t count_max,
                                             std::string snapshot = {});
  const CoreStats& stats() const { return stats_; }
  // Calls in flight end with kCancelled (kOutcomeUnknown for changes that were sent).
  Task<void> stop();

 private:
  struct Reply {
    format::wire::Answer answer;
    Buffer payload;
  };
  class Link;
  using LinkPtr = std::shared_ptr<Link>;

  Async<Reply> call(format::wire::Request request, Buffer payload, std::uint64_t units);
  Async<Reply> call_until(const format::wire::Request& request, const Buffer& payload,
                          env::BootTime deadline);
  Async<Reply> try_once(const format::wire::Request& request, const Buffer& payload,
                        env::BootTime deadline, bool* sent, bool* lost);
  Async<LinkPtr> connected(env::BootTime deadline);
  Async<LinkPtr> connect_one(const std::string& address, env::Duration timeout);
  Async<SessionId> session();

  env::Loop& loop_;
  env::Transport& transport_;
  CoreOptions options_;
  LogSink log_;
  CoreStats stats_;
  env::Budget inflight_;
  env::Mutex connecting_, opening_session_;
  LinkPtr link_;
  std::vector<LinkPtr> old_links_;  // until their tasks have ended
  std::size_t next_address_ = 0;
  SessionId session_;
  RequestNumber last_number_;
  std::size_t calls_ = 0;
  bool stopping_ = false;
  env::Event idle_, stop_event_;
};

}  // namespace square::client
