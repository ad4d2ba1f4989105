#include "bench/rig.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace square::bench {

namespace fs = std::filesystem;

Result<std::unique_ptr<env::Listener>> NoTransport::listen(const std::string&) {
  return Error{Code::kUnavailable, "there is no network here"};
}

Async<std::unique_ptr<env::Connection>> NoTransport::connect(std::string, env::Duration) {
  co_return Error{Code::kUnavailable, "there is no network here"};
}

RigOptions usual_rig(const Settings& settings) {
  RigOptions options;
  options.dir = settings.dir;
  options.allocate = !settings.small;
  options.disk_bytes = settings.scaled(320u << 20, 256u << 20);
  return options;
}

Rig::Rig(RigOptions options) : options_(std::move(options)), disks_(loop_) {
  Uuid fixed;
  fixed.bytes[0] = 1;
  options_.format.cell.uuid = options_.format.node.uuid = fixed;
  options_.engine.pool = pool_options();
}

Rig::~Rig() { ignore(close(), "what is wrong was said by whoever asked before"); }

std::string Rig::disk_path(unsigned i) const {
  return options_.dir + "/disk" + std::to_string(i / 10) + std::to_string(i % 10);
}

pool::OpenOptions Rig::pool_options() const {
  pool::OpenOptions options;
  options.cell = options_.format.cell;
  options.node = options_.format.node;
  for (unsigned i = 0; i < options_.disks; ++i) options.paths.push_back(disk_path(i));
  return options;
}

Result<> Rig::make_files() {
  std::error_code error;
  fs::remove_all(options_.dir, error);
  fs::create_directories(options_.dir, error);
  if (error) return Error{Code::kIo, options_.dir + ": " + error.message()};
  for (const auto& path : options_.engine.pool.paths) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const auto size = static_cast<off_t>(options_.disk_bytes);
    const bool made = fd >= 0 && ::ftruncate(fd, size) == 0 &&
                      (!options_.allocate || ::posix_fallocate(fd, 0, size) == 0);
    if (fd >= 0) ::close(fd);
    if (!made) return Error{Code::kIo, "cannot make a disk at " + path};
  }
  return codec::KeyStore::create(files_, random_, options_.dir + "/keys");
}

Result<std::unique_ptr<Rig>> Rig::make(RigOptions options) {
  std::unique_ptr<Rig> rig(new Rig(std::move(options)));
  SQ_TRY(rig->make_files());
  auto format = rig->options_.format;
  format.paths = rig->options_.engine.pool.paths;
  SQ_TRY(rig->run(pool::Pool::format(rig->env(), std::move(format))));
  return rig;
}

Result<std::unique_ptr<Rig>> Rig::take_over(RigOptions options) {
  return std::unique_ptr<Rig>(new Rig(std::move(options)));
}

Result<> Rig::open() {
  SQ_TRY(keys_, codec::KeyStore::open(files_, random_, options_.dir + "/keys"));
  index_files_ = std::make_unique<index::RocksKvFactory>(index_dir(), options_.index);
  SQ_TRY(engine_, run(store::Engine::open(env(), options_.engine, *index_files_, *keys_)));
  return {};
}

Result<> Rig::close() {
  if (engine_ == nullptr) return {};
  const auto stop = [](store::Engine& engine) -> Async<> {
    co_await engine.stop();
    co_return {};
  };
  auto stopped = run(stop(*engine_));
  engine_.reset();
  return stopped;
}

}  // namespace square::bench
