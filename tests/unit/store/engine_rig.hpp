#pragma once
// An engine on simulated disks, in a process that crashes and starts again when a test says so.

#include <catch2/catch.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec/checksum.hpp"
#include "index/map_kv.hpp"
#include "sim/env/sim_process.hpp"
#include "store/engine.hpp"

namespace square::test {

template <class T>
T must(Result<T> result) {
  if (!result.ok()) FAIL(result.error().message);
  return std::move(result).value();
}
inline void must(const Result<>& result) {
  if (!result.ok()) FAIL(result.error().message);
}

class EngineRig {
 public:
  // `files`: the index's, when it is to be another one than an ordered map; outlives the rig.
  explicit EngineRig(index::KvFactory* files = nullptr, std::uint64_t seed = 1,
                     std::uint64_t disk_bytes = kDiskBytes)
      : world(seed), process(world.add_process("n1")), files_(files) {
    for (int i = 0; i < kDisks; ++i) {
      options.pool.paths.push_back("/dev/disk" + std::to_string(i));
      process.disks().add(options.pool.paths.back(), disk_bytes);
    }
    options.pool.cell.uuid.bytes.fill(0xC1);
    options.pool.node.uuid.bytes.fill(0xA1);
    options.write_buffer_bytes = 4u << 20;
    pool::FormatOptions format;
    format.cell = options.pool.cell;
    format.node = options.pool.node;
    format.paths = options.pool.paths;
    format.k = 2;
    format.m = 1;
    format.chunk_bytes = 256u << 10;
    format.journal_bytes = 8u << 20;
    must(process.run(pool::Pool::format(process.env(), format)));
    must(codec::KeyStore::create(process.files(), process.random(), kKeys));
  }
  ~EngineRig() {
    if (engine == nullptr) return;
    process.crash(sim::CrashKind::kKill);
    drop();
  }

  void start() {
    if (lent_keys == nullptr)
      keys = must(codec::KeyStore::open(process.files(), process.random(), kKeys));
    map_ = std::make_unique<index::MapKvFactory>(storage);
    auto& files = files_ != nullptr ? *files_ : *map_;
    engine = must(process.run(store::Engine::open(process.env(), options, files,
                                                  lent_keys != nullptr ? *lent_keys : *keys)));
  }
  // `index_states`: how many of its flushed states the local index keeps; all unless said.
  void crash(sim::CrashKind kind = sim::CrashKind::kPowerLoss,
             std::optional<std::size_t> index_states = std::nullopt) {
    if (process.running()) process.crash(kind);
    drop();
    storage.crash(std::min(index_states.value_or(storage.states()), storage.states()));
    process.restart();
  }
  void restart() {
    crash();
    start();
  }
  void stop() {
    process.run(engine->stop());
    drop();
  }

  template <class T>
  T run(Task<T> task) {
    return process.run(std::move(task));
  }

  store::VolumeInfo create(const std::string& name, std::uint64_t size_bytes = 4u << 20,
                           GroupId group = GroupId(1)) {
    store::CreateVolume request;
    request.name = name;
    request.size_bytes = size_bytes;
    request.group = group;
    return must(run(engine->create_volume(request)));
  }
  // Whole blocks.
  Async<> write(VolumeId volume, std::uint64_t offset, Bytes content,
                store::RequestId request = {}) {
    std::vector<std::uint64_t> ingest;
    for (std::size_t at = 0; at < content.size(); at += kBlockBytes)
      ingest.push_back(codec::checksum64(content.subspan(at, kBlockBytes)));
    return engine->write(volume, offset, Buffer::copy_of(content), std::move(ingest), request);
  }
  ByteVector read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                  std::optional<std::string> snapshot = std::nullopt) {
    const auto reply = must(run(engine->read(volume, offset, length, std::move(snapshot))));
    const auto bytes = reply.data.bytes();
    return {bytes.begin(), bytes.end()};
  }
  void check() {
    const auto found = must(run(engine->check()));
    CHECK(found.empty());
    if (!found.empty()) WARN(found);
  }

  static constexpr int kDisks = 4;
  static constexpr std::uint64_t kDiskBytes = 24u << 20;
  static constexpr const char* kKeys = "/keys";

  sim::SimWorld world;
  sim::SimProcess& process;
  store::EngineOptions options;
  index::MapKvStorage storage;
  std::unique_ptr<codec::KeyStore> keys;
  codec::KeyStore* lent_keys = nullptr;  // instead: it opens what another one has sealed
  std::unique_ptr<store::Engine> engine;

 private:
  void drop() {
    engine.reset();
    map_.reset();
    keys.reset();
  }
  index::KvFactory* files_;
  std::unique_ptr<index::MapKvFactory> map_;
};

inline ByteVector blocks_of(std::uint8_t fill, std::size_t blocks = 1) {
  return ByteVector(blocks * kBlockBytes, std::byte{fill});
}

}  // namespace square::test
