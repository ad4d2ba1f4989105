#pragma once
// An engine on simulated disks, with one volume.

#include <catch2/catch.hpp>

#include "codec/checksum.hpp"
#include "sim/engine/engine_node.hpp"

namespace square::store::test {

inline Buffer pattern(std::uint64_t size, std::uint64_t seed) {
  auto buffer = Buffer::allocate(size);
  sim::Rng rng(seed + 1);
  for (std::uint64_t i = 0; i < size; ++i)
    buffer.data()[i] = static_cast<std::byte>(rng.next() & 0xff);
  return buffer;
}

struct OneEngine {
  explicit OneEngine(sim::NodeShape shape, std::uint64_t seed = 1)
      : world(seed), node(world, shape) {
    REQUIRE(node.format().ok());
    start();
    CreateVolume request;
    request.name = "v";
    request.size_bytes = 256u << 20;
    const auto created = run(node.engine()->create_volume(request));
    REQUIRE(created.ok());
    volume = created->id;
  }

  void start() {
    const auto started = node.start();
    REQUIRE(started.has_value());
    INFO((started->ok() ? std::string() : started->error().message));
    REQUIRE(started->ok());
  }
  template <class T>
  T run(Task<T> task) {
    return node.process().run(std::move(task));
  }
  Engine& engine() { return *node.engine(); }
  pool::Pool& pool() { return node.engine()->pool(); }

  Async<> begin_write(std::uint64_t offset, Buffer data) {
    std::vector<std::uint64_t> ingest;
    for (std::uint64_t at = 0; at < data.size(); at += kBlockBytes)
      ingest.push_back(codec::checksum64(data.bytes().subspan(at, kBlockBytes)));
    return engine().write(volume, offset, std::move(data), std::move(ingest));
  }
  Result<> write(std::uint64_t offset, Buffer data) {
    return run(begin_write(offset, std::move(data)));
  }
  Result<Buffer> read(std::uint64_t offset, std::uint32_t size) {
    auto reply = run(engine().read(volume, offset, size));
    if (!reply.ok()) return std::move(reply).error();
    return std::move(reply->data);
  }
  bool reads_as(std::uint64_t offset, const Buffer& data) {
    const auto got = read(offset, static_cast<std::uint32_t>(data.size()));
    if (!got.ok()) UNSCOPED_INFO(got.error().message);
    return got.ok() && std::ranges::equal(got->bytes(), data.bytes());
  }

  sim::SimWorld world;
  sim::EngineNode node;
  VolumeId volume;
};

}  // namespace square::store::test
