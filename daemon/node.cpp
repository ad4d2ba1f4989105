#include "daemon/node.hpp"

#include <signal.h>

#include <atomic>
#include <future>
#include <optional>

#include "access/data_server.hpp"
#include "access/engine_services.hpp"
#include "base/units.hpp"
#include "daemon/http_server.hpp"
#include "daemon/last_words.hpp"
#include "daemon/log.hpp"
#include "daemon/metrics.hpp"
#include "daemon/notify.hpp"
#include "daemon/pool_watch.hpp"
#include "env/real/disks.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/system_random.hpp"
#include "env/real/tcp_transport.hpp"
#include "index/rocks_kv.hpp"
#include "rpc/control_server.hpp"
#include "rpc/credentials.hpp"

namespace square::daemon {

namespace {

constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr auto kPoolLook = std::chrono::seconds(1);
constexpr auto kHttpPatience = std::chrono::milliseconds(1500);

env::TlsConfig tls_of(const Config& config) {
  return {config.tls_ca, config.tls_certificate, config.tls_key, config.cell.to_string()};
}

store::EngineOptions engine_options(const Config& config, std::vector<std::string> disks,
                                    ActivitiesPtr activities) {
  store::EngineOptions options;
  options.pool.cell = config.cell;
  options.pool.node = config.id;
  options.pool.paths = std::move(disks);
  options.pool.disk.engine = config.disk_engine;
  options.pool.disk.deadline = config.disk_deadline;
  options.pool.retire_slow_after = config.retire_slow_after;
  options.write_buffer_bytes = config.write_buffer_bytes;
  options.direct_bytes_min = static_cast<std::uint32_t>(config.direct_bytes_min);
  options.groups = config.groups;
  options.checkpoint_interval = config.checkpoint_interval;
  options.activities = std::move(activities);
  options.undelete_window = config.undelete_window;
  return options;
}

class NodeProcess {
 public:
  NodeProcess(const Config& config, LogSink log)
      : config_(config),
        log_(std::move(log)),
        last_words_(LastWordsPage::open(config.state_dir + "/last_words")),
        disks_(loop_, kLockPatience),
        main_(loop_) {}

  Result<> run() {
    env::TcpTransportOptions options;
    options.connections_max = config_.connections_max;
    options.on_refused = [this](const std::string& address, const Error& why) {
      say(LogLevel::kWarning, "refused a connection from " + address + ": " + why.message);
    };
    SQ_TRY(transport_, env::TcpTransport::create(loop_, files_, tls_of(config_), options));
    SQ_TRY(check_certificate());
    tell_expired();
    SQ_TRY(http_, HttpServer::start(config_.http, [this](const auto& path) { return http(path); }));
    for (const int signal : {SIGTERM, SIGINT}) loop_.on_signal(signal, [this] { begin_stop(); });
    loop_.on_signal(SIGHUP, [this] { reload(); });
    main_.spawn(live());
    loop_.run();
    http_.reset();
    last_words_.end_clean();
    return std::move(outcome_);
  }

 private:
  env::Env env() { return {loop_, random_, disks_, files_, *transport_}; }
  void say(LogLevel level, const std::string& message) { log_(level, message); }

  // One that has expired shuts everybody out, and a renewed one is taken at SIGHUP: no reason to
  // end.
  void tell_expired() {
    const auto pem = files_.read(config_.tls_certificate, 1u << 20);
    if (!pem.ok()) return;
    const auto valid =
        env::check_validity(config_.tls_certificate, std::string(as_text(*pem)), loop_.wall());
    if (!valid.ok()) say(LogLevel::kError, valid.error().message);
  }

  Result<> check_certificate() {
    const auto& own = transport_->own();
    if (own.cell != config_.cell.to_string() || own.subject != "node/" + config_.name)
      return Error{Code::kInvalid, config_.tls_certificate + " is for \"" + own.subject +
                                       "\" of cell " + own.cell + ", this is \"node/" +
                                       config_.name + "\" of cell " + config_.cell.to_string()};
    return {};
  }

  Task<void> live() {
    auto started = co_await start();
    if (started.ok()) {
      ready_ = true;
      watch_pool();
      notify_systemd("READY=1");
      say(LogLevel::kInfo, "serving: data " + data_address_ + ", control " + control_->address() +
                               ", http " + http_->address());
      while (!stopping_) co_await stop_event_.wait();
      say(LogLevel::kInfo, "stopping: what is in flight is finished first");
    } else {
      outcome_ = std::move(started);
    }
    ready_ = false;
    loop_.cancel_timer(pool_look_);
    notify_systemd("STOPPING=1");
    co_await take_apart();
    loop_.post([this] { loop_.stop(); });
  }

  void tell_last_words() {
    if (!last_words_.before()) return;
    if (const auto text = last_words_text(*last_words_.before()); !text.empty())
      say(LogLevel::kWarning, "the process before was " + text);
  }

  Async<> start() {
    tell_last_words();
    SQ_CO_TRY(keys_, codec::KeyStore::open(files_, random_, config_.keys_dir));
    SQ_CO_TRY(files_.make_folder(config_.state_dir));
    SQ_CO_TRY(auto disks, expand_disks(config_.disks));
    index_files_ = std::make_unique<index::RocksKvFactory>(config_.state_dir + "/index");
    SQ_CO_TRY(engine_,
              co_await store::Engine::open(
                  env(), engine_options(config_, std::move(disks), last_words_.activities()),
                  *index_files_, *keys_));
    const auto stats = engine_->stats();
    say(LogLevel::kInfo, "the engine is open after " + std::to_string(stats.start_seconds) +
                             " s: " + std::to_string(stats.recovered_operations) +
                             " operations from the journal" +
                             (stats.index_from_pool ? ", the index from the pool" : ""));
    data_ = std::make_unique<access::EngineData>(*engine_);
    access::DataServerOptions options;
    options.cell = config_.cell.to_string();
    options.connections_max = config_.connections_max;
    options.inflight_bytes_max = config_.inflight_bytes_max;
    server_ = std::make_unique<access::DataServer>(loop_, *data_, std::move(options), log_);
    SQ_CO_TRY(auto listener, transport_->listen(config_.data));
    data_address_ = listener->address();
    access::NodeView view{config_.name, "primary", "serving", data_address_, kVersion, 0};
    control_service_ = std::make_unique<access::EngineControl>(env(), *engine_, std::move(view),
                                                               config_.state_dir + "/operations",
                                                               log_, config_.scrub_interval);
    rpc::ServerOptions control{config_.control, config_.cell.to_string()};
    control_ =
        std::make_unique<rpc::ControlServer>(loop_, *control_service_, std::move(control), log_);
    rpc::route_grpc_log(log_);
    SQ_CO_TRY(control_->start(
        rpc::server_credentials({config_.tls_certificate, config_.tls_key, config_.tls_ca})));
    server_->serve(std::move(listener));
    co_return {};
  }

  // In the reverse order of the start; whatever of it there is.
  Task<void> take_apart() {
    if (control_) co_await control_->stop();
    if (server_) co_await server_->stop();
    if (engine_) co_await engine_->stop();
    co_await transport_->stop();
    control_.reset();
    server_.reset();
    control_service_.reset();
    data_.reset();
    engine_.reset();
    say(LogLevel::kInfo, "stopped");
  }

  // A node whose engine has stopped is of no use until it is started again: it says why, and ends.
  bool engine_has_stopped() {
    const auto why = engine_->failure();
    if (!why) return false;
    say(LogLevel::kError, why->message);
    outcome_ = *why;
    begin_stop();
    return true;
  }

  void watch_pool() {
    if (engine_has_stopped()) return;
    const auto& pool = engine_->pool();
    for (const auto& line : pool_watch_.look(pool.status(), pool.disks()))
      say(line.level, line.text);
    control_service_->look();
    pool_look_ = loop_.add_timer(loop_.now() + kPoolLook, [this] { watch_pool(); });
  }

  void begin_stop() {
    stopping_ = true;
    stop_event_.set();
  }

  void reload() {
    const auto fresh = read_config(files_, config_.file);
    const auto reloaded = transport_->reload();
    if (fresh.ok() && reloaded.ok()) {
      set_log_level("info");  // whatever it was and will be: who sent the signal looks for this
      say(LogLevel::kInfo, "reloaded certificates and log level");
    }
    if (fresh.ok()) set_log_level(fresh->log_level);
    if (fresh.ok() && reloaded.ok()) return;
    say(LogLevel::kError, "reload: " + (fresh.ok() ? reloaded.error() : fresh.error()).message +
                              "; what was there stays");
  }

  // ---- HTTP; on its own thread
  HttpReply http(const std::string& path) {
    if (path == "/healthz" || path == "/livez")
      return on_loop([] { return HttpReply{200, "ok\n"}; });
    if (path == "/readyz")
      return ready_ ? HttpReply{200, "ready\n"} : HttpReply{503, "not serving\n"};
    if (path == "/metrics") return on_loop([this] { return HttpReply{200, metrics()}; });
    return {404, "there are /metrics, /healthz and /readyz\n"};
  }

  HttpReply on_loop(std::function<HttpReply()> work) {
    auto promise = std::make_shared<std::promise<HttpReply>>();
    auto future = promise->get_future();
    loop_.post_from_any_thread([promise, work = std::move(work)] { promise->set_value(work()); });
    if (future.wait_for(kHttpPatience) != std::future_status::ready)
      return {503, "the loop does not answer\n"};
    return future.get();
  }

  // What the counters are held to, where the engine does not say it itself.
  std::vector<access::Counter> limits() const {
    const auto d = [](auto value) { return static_cast<double>(value); };
    return {{"square_data_connections_max", d(config_.connections_max)},
            {"square_data_inflight_max_bytes", d(config_.inflight_bytes_max)},
            {"square_control_calls", d(control_->calls())},
            {"square_control_calls_max", d(rpc::ServerOptions().calls_max)}};
  }

  std::string metrics() {
    std::string text = metrics_text(process_counters(process_use()));
    if (!ready_) return text + metrics_text({{"square_ready", 0}});
    text += metrics_text({{"square_ready", 1}});
    text += metrics_text(control_service_->counters());
    text += metrics_text(data_plane_counters(server_->stats()));
    text += metrics_text(limits());
    text += metrics_text(last_end_counters(last_words_.before()));
    return text + disk_metrics_text(control_service_->disks());
  }

  Config config_;
  LogSink log_;
  LastWordsPage last_words_;
  env::AsioLoop loop_;
  env::SystemRandom random_;
  env::PosixFiles files_;
  env::RealDisks disks_;
  std::unique_ptr<env::TcpTransport> transport_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<codec::KeyStore> keys_;
  std::unique_ptr<index::RocksKvFactory> index_files_;
  std::unique_ptr<store::Engine> engine_;
  std::unique_ptr<access::EngineData> data_;
  std::unique_ptr<access::DataServer> server_;
  std::unique_ptr<access::EngineControl> control_service_;
  std::unique_ptr<rpc::ControlServer> control_;
  PoolWatch pool_watch_;
  env::Loop::TimerId pool_look_{};
  std::string data_address_;
  Result<> outcome_;
  bool stopping_ = false;
  std::atomic<bool> ready_{false};
  env::Event stop_event_{loop_};
  env::Scope main_;
};

}  // namespace

Result<> check_node_config(const Config& config) {
  env::PosixFiles files;
  SQ_TRY(check_surroundings(files, config, true));
  env::AsioLoop loop;
  auto transport = env::TcpTransport::create(loop, files, tls_of(config));
  loop.begin_ending();
  if (!transport.ok()) return std::move(transport).error().context(config.file);
  SQ_TRY(const auto pem, files.read(config.tls_certificate, 1u << 20));
  return env::check_validity(config.tls_certificate, std::string(as_text(pem)), loop.wall())
      .context(config.file);
}

Result<> format_node(const Config& config) {
  env::AsioLoop loop;
  env::SystemRandom random;
  env::PosixFiles files;
  env::RealDisks disks(loop);
  SQ_TRY(check_surroundings(files, config, false));
  SQ_TRY(auto transport, env::TcpTransport::create(loop, files, tls_of(config)));
  SQ_TRY(auto paths, expand_disks(config.disks));
  SQ_TRY(files.make_folder(config.keys_dir));
  if (!files.exists(config.keys_dir + "/root.key"))
    SQ_TRY(codec::KeyStore::create(files, random, config.keys_dir));
  pool::FormatOptions options;
  options.cell = config.cell;
  options.node = config.id;
  options.paths = std::move(paths);
  options.k = config.k;
  options.m = config.m;
  Result<> outcome;
  const auto work = [](env::Env env, pool::FormatOptions o, env::TcpTransport& t, env::AsioLoop& l,
                       Result<>& out) -> Task<void> {
    out = co_await pool::Pool::format(env, std::move(o));
    co_await t.stop();
    l.stop();
  };
  env::Scope scope(loop);
  scope.spawn(work({loop, random, disks, files, *transport}, std::move(options), *transport, loop,
                   outcome));
  loop.run();
  loop.begin_ending();
  return outcome;
}

Result<> run_node(const Config& config, LogSink log) {
  env::PosixFiles files;
  SQ_TRY(check_surroundings(files, config, true));
  NodeProcess node(config, std::move(log));
  return node.run();
}

}  // namespace square::daemon
