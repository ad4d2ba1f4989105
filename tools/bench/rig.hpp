#pragma once
// A real engine in this process: loop, disks in files, keys, RocksDB; as the daemon has it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "bench/runs.hpp"
#include "codec/key_store.hpp"
#include "env/real/asio_loop.hpp"
#include "env/real/disks.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/system_random.hpp"
#include "env/sync.hpp"
#include "index/rocks_kv.hpp"
#include "store/engine.hpp"

namespace square::bench {

// Nothing here is asked over a network.
class NoTransport final : public env::Transport {
 public:
  Result<std::unique_ptr<env::Listener>> listen(const std::string&) override;
  Async<std::unique_ptr<env::Connection>> connect(std::string, env::Duration) override;
};

struct RigOptions {
  std::string dir;
  unsigned disks = 10;
  std::uint64_t disk_bytes = 1u << 30;
  bool allocate = true;         // the disks' pages beforehand, as a disk has its blocks
  pool::FormatOptions format;   // k, m, sizes
  store::EngineOptions engine;  // all but the pool
  index::RocksOptions index;
};

// 8 + 2 without spares.
RigOptions usual_rig(const Settings& settings);

class Rig {
 public:
  // Makes `dir` anew with disks and keys; opens nothing.
  static Result<std::unique_ptr<Rig>> make(RigOptions options);
  // On what is in `dir` already.
  static Result<std::unique_ptr<Rig>> take_over(RigOptions options);
  ~Rig();

  Result<> open();
  Result<> close();
  store::Engine& engine() { return *engine_; }
  env::Env env() { return {loop_, random_, disks_, files_, transport_}; }
  env::AsioLoop& loop() { return loop_; }
  const RigOptions& options() const { return options_; }
  pool::OpenOptions pool_options() const;
  std::string index_dir() const { return options_.dir + "/index"; }
  std::string disk_path(unsigned i) const;

  // Drives the loop until `task` has ended, and gives what it gave.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    env::Scope scope(loop_);
    scope.spawn(keep(std::move(task), &value, &loop_));
    loop_.run();
    SQ_CHECK(value.has_value(), "the loop was stopped");
    return std::move(*value);
  }

 private:
  explicit Rig(RigOptions options);
  Result<> make_files();
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>* into, env::AsioLoop* loop) {
    into->emplace(co_await task);
    loop->post([loop] { loop->stop(); });  // behind the end of this very task
  }

  RigOptions options_;
  env::AsioLoop loop_;
  env::SystemRandom random_;
  env::PosixFiles files_;
  env::RealDisks disks_;
  NoTransport transport_;
  std::unique_ptr<codec::KeyStore> keys_;
  std::unique_ptr<index::RocksKvFactory> index_files_;
  std::unique_ptr<store::Engine> engine_;
};

}  // namespace square::bench
