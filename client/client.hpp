#pragma once
// libsquare-client: volumes of a cell over the data plane. One loop thread inside; any number of
// threads may call, any number of calls may be in flight. What a call's error means: core.hpp.
//
//   auto client = Client::start(*read_config("client.toml"));
//   auto volume = (*client)->open("orders");
//   volume->write(0, bytes);                              // waits
//   (*client)->run<void>([&](Core& core) -> Async<> {...});  // many at once, as coroutines

#include <functional>
#include <future>
#include <memory>

#include "client/config.hpp"
#include "client/core.hpp"

namespace square::client {

struct ClientOptions {
  std::string name;  // shown in the node's log
  env::Duration request_timeout = std::chrono::seconds(60);
  std::uint64_t inflight_bytes_max = 64u << 20;
  LogSink log;
};

class Client;

// Lives no longer than its Client. Offsets and lengths in units of 512 bytes; any length: what is
// longer than 1 MiB goes in several requests, and is not done as one.
class Volume {
 public:
  Volume(Client& client, VolumeInfo info) : client_(&client), info_(std::move(info)) {}
  const VolumeInfo& info() const { return info_; }
  Result<> write(std::uint64_t offset, Bytes data);
  Result<> read(std::uint64_t offset, MutableBytes into, std::string snapshot = {});
  Result<> zero(std::uint64_t offset, std::uint64_t length);
  Result<> flush();
  Result<std::vector<StatusRun>> block_status(std::uint64_t offset, std::uint64_t length,
                                              std::string snapshot = {});

 private:
  Client* client_;
  VolumeInfo info_;
};

class Client {
 public:
  // Connects with the first call that needs it. Errors: kNotFound, kDenied, kInvalid
  // (certificates).
  static Result<std::unique_ptr<Client>> start(const Config& config, ClientOptions options = {});
  // Calls in flight end with kCancelled or kOutcomeUnknown.
  ~Client();

  Result<Volume> open(const std::string& name);

  // Runs `job` on the loop; the future has its result. The job must own what it touches, or the
  // caller must wait.
  template <class T>
  std::future<Result<T>> begin(std::function<Async<T>(Core&)> job);
  template <class T>
  Result<T> run(std::function<Async<T>(Core&)> job) {
    return begin<T>(std::move(job)).get();
  }
  env::Loop& loop();

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  void spawn(std::function<Task<void>(Core&)> start);
  std::unique_ptr<Impl> impl_;
};

template <class T>
std::future<Result<T>> Client::begin(std::function<Async<T>(Core&)> job) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  spawn([promise, job = std::move(job)](Core& core) {
    return [](Core& c, std::function<Async<T>(Core&)> f,
              std::shared_ptr<std::promise<Result<T>>> p) -> Task<void> {
      p->set_value(co_await f(c));
    }(core, job, promise);
  });
  return future;
}

}  // namespace square::client
