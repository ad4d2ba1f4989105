#include "client/client.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include "env/real/posix_files.hpp"
#include "env/real/tcp_transport.hpp"

namespace square::client {

class Client::Impl {
 public:
  Impl(const Config& config, ClientOptions options)
      : config_(config), options_(std::move(options)), scope_(loop_) {}

  Result<> start() {
    env::TlsConfig tls{config_.tls_ca, config_.tls_certificate, config_.tls_key, config_.cell};
    SQ_TRY(transport_, env::TcpTransport::create(loop_, files_, std::move(tls)));
    CoreOptions core;
    core.addresses = config_.data;
    core.tenant = config_.tenant;
    core.name = options_.name;
    core.request_timeout = options_.request_timeout;
    core.inflight_bytes_max = options_.inflight_bytes_max;
    core_ = std::make_unique<Core>(loop_, *transport_, std::move(core), options_.log);
    thread_ = std::thread([this] { loop_.run(); });
    return {};
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    loop_.post_from_any_thread([this] { stopper_.emplace(loop_).spawn(stop()); });
    thread_.join();
    stopper_.reset();
  }

  void spawn(std::function<Task<void>(Core&)> start) {
    loop_.post_from_any_thread([this, start = std::move(start)] { scope_.spawn(start(*core_)); });
  }

  env::AsioLoop& loop() { return loop_; }

 private:
  Task<void> stop() {
    co_await core_->stop();
    co_await scope_.join();
    co_await transport_->stop();
    loop_.post([this] { loop_.stop(); });
  }

  Config config_;
  ClientOptions options_;
  env::AsioLoop loop_;
  env::PosixFiles files_;
  std::unique_ptr<env::TcpTransport> transport_;
  std::unique_ptr<Core> core_;
  env::Scope scope_;
  std::optional<env::Scope> stopper_;
  std::thread thread_;
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::start(const Config& config, ClientOptions options) {
  auto impl = std::make_unique<Impl>(config, std::move(options));
  SQ_TRY(impl->start());
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

void Client::spawn(std::function<Task<void>(Core&)> start) { impl_->spawn(std::move(start)); }
env::Loop& Client::loop() { return impl_->loop(); }

Result<Volume> Client::open(const std::string& name) {
  SQ_TRY(auto info, run<VolumeInfo>([name](Core& core) { return core.open(name); }));
  return Volume(*this, std::move(info));
}

Result<> Volume::write(std::uint64_t offset, Bytes data) {
  while (!data.empty()) {
    const auto part = std::min<std::size_t>(data.size(), format::wire::kPayloadBytesMax);
    auto buffer = Buffer::copy_of(data.first(part));
    const auto id = info_.id;
    SQ_TRY(client_->run<void>(
        [id, offset, buffer](Core& core) { return core.write(id, offset, buffer); }));
    data = data.subspan(part);
    offset += part;
  }
  return {};
}

Result<> Volume::read(std::uint64_t offset, MutableBytes into, std::string snapshot) {
  while (!into.empty()) {
    const auto part = static_cast<std::uint32_t>(
        std::min<std::size_t>(into.size(), format::wire::kPayloadBytesMax));
    const auto id = info_.id;
    SQ_TRY(const auto data, client_->run<Buffer>([id, offset, part, snapshot](Core& core) {
      return core.read(id, offset, part, snapshot);
    }));
    std::memcpy(into.data(), data.data(), part);
    into = into.subspan(part);
    offset += part;
  }
  return {};
}

Result<> Volume::zero(std::uint64_t offset, std::uint64_t length) {
  const auto id = info_.id;
  return client_->run<void>(
      [id, offset, length](Core& core) { return core.zero(id, offset, length); });
}

Result<> Volume::flush() {
  const auto id = info_.id;
  return client_->run<void>([id](Core& core) { return core.flush(id); });
}

Result<std::vector<StatusRun>> Volume::block_status(std::uint64_t offset, std::uint64_t length,
                                                    std::string snapshot) {
  const auto id = info_.id;
  return client_->run<std::vector<StatusRun>>([id, offset, length, snapshot](Core& core) {
    return core.block_status(id, offset, length, format::wire::kStatusEntriesMax, snapshot);
  });
}

}  // namespace square::client
