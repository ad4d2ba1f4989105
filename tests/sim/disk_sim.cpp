// What a slow disk costs, on virtual time: disks of 200 MB/s under the whole engine.
//
//   disk_sim [--seeds FIRST:COUNT]
//
// One disk becomes 100 times slower: how long acknowledgements take before and after. Two disks are
// lost, one without clients and one under them: how fast the spares fill, and what clients still
// get. Prints two lines for each seed, as ratios within the run, and exits 1 when one is not
// reached.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "codec/checksum.hpp"
#include "env/sync.hpp"
#include "sim/engine/engine_node.hpp"

using namespace square;
using namespace square::sim;
using namespace std::chrono_literals;

namespace {

constexpr double kAckFactorMax = 3.0;
constexpr double kDiskBytesPerSecond = 200e6;  // DiskTiming's
constexpr double kRebuildIdleMin = 0.8, kRebuildBusyMin = 0.3, kClientsMin = 0.6;

Buffer content(Rng& rng, std::size_t size) {
  auto buffer = Buffer::allocate(size);
  for (std::size_t at = 0; at < size; at += 8) {
    const auto word = rng.next();
    std::memcpy(buffer.data() + at, &word, 8);
  }
  return buffer;
}

std::vector<std::uint64_t> hashes(const Buffer& buffer) {
  std::vector<std::uint64_t> out;
  for (std::size_t at = 0; at < buffer.size(); at += kBlockBytes)
    out.push_back(codec::checksum64(buffer.bytes().subspan(at, kBlockBytes)));
  return out;
}

// An engine with one volume, and clients that write and read it, each one request after the other.
class Bench {
 public:
  Bench(std::uint64_t seed, NodeShape shape, std::uint64_t volume_bytes)
      : world_(seed), node_(world_, shape), rng_(seed), clients_(node_.process().loop()) {
    SQ_CHECK(node_.format().ok() && node_.start()->ok());
    store::CreateVolume create;
    create.name = "v";
    create.size_bytes = bytes_ = volume_bytes;
    volume_ = run(node_.engine()->create_volume(create)).value().id;
  }
  ~Bench() {
    stopping_ = true;
    node_.process().run(join());
    node_.stop();
  }

  SimWorld& world() { return world_; }
  EngineNode& node() { return node_; }
  pool::Pool& pool() { return node_.engine()->pool(); }
  template <class T>
  T run(Task<T> task) {
    return node_.process().run(std::move(task));
  }

  void fill() {
    for (std::uint64_t at = 0; at < bytes_; at += 1u << 20) SQ_CHECK(run(write(at, 1u << 20)).ok());
    SQ_CHECK(run(node_.engine()->checkpoint()).ok());
  }
  // Each `reads` of ten requests are reads.
  void start_clients(int count, std::uint32_t size, unsigned reads) {
    for (int i = 0; i < count; ++i) clients_.spawn(client(size, reads));
  }
  void let_acks(std::size_t count) {
    acks_.clear();
    SQ_CHECK(world_.run_until([&] { return acks_.size() >= count || failed_; }, 1h));
    SQ_CHECK(!failed_, "a client's request failed");
  }
  std::size_t acks() const { return acks_.size(); }
  env::Duration ack_quantile(double quantile) {
    std::ranges::sort(acks_);
    return acks_[static_cast<std::size_t>(quantile * static_cast<double>(acks_.size() - 1))];
  }

 private:
  env::Loop& loop() { return node_.process().loop(); }
  Async<> write(std::uint64_t at, std::uint32_t size) {
    auto data = content(rng_, size);
    auto ingest = hashes(data);
    co_return co_await node_.engine()->write(volume_, at, std::move(data), std::move(ingest));
  }
  Task<void> client(std::uint32_t size, unsigned reads) {
    while (!stopping_ && !failed_) {
      const auto at = rng_.below(bytes_ / size) * size;
      const auto began = loop().now();
      if (rng_.below(10) < reads) {
        const auto read = co_await node_.engine()->read(volume_, at, size);
        failed_ = failed_ || !read.ok();
      } else {
        const auto written = co_await write(at, size);
        failed_ = failed_ || !written.ok();
        acks_.push_back(loop().now() - began);
      }
    }
  }
  Task<void> join() { co_await clients_.join(); }

  SimWorld world_;
  EngineNode node_;
  Rng rng_;
  env::Scope clients_;
  VolumeId volume_;
  std::uint64_t bytes_ = 0;
  std::vector<env::Duration> acks_;
  bool stopping_ = false, failed_ = false;
};

double ms(env::Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

bool slow_disk(std::uint64_t seed) {
  NodeShape shape;
  shape.disk_bytes = 96u << 20;
  shape.journal_bytes = 24u << 20;
  shape.write_buffer_bytes = 16u << 20;
  Bench bench(seed, shape, 32u << 20);
  bench.fill();
  bench.start_clients(8, 16u << 10, 3);
  bench.let_acks(500);
  bench.let_acks(4000);
  const auto p50 = bench.ack_quantile(0.5), healthy = bench.ack_quantile(0.99);
  bench.node().medium(seed % 10).set_slow(true);
  bench.let_acks(4000);
  const auto p50_slow = bench.ack_quantile(0.5), slow = bench.ack_quantile(0.99);
  const auto longest = bench.ack_quantile(1);
  const double factor = ms(slow) / ms(healthy);
  const auto status = bench.pool().status();
  std::printf(
      "seed %llu: acks p50 %.2f ms, p99 %.2f ms; with one disk 100 times slower p50 %.2f, "
      "p99 %.2f ms = %.2fx (at most %.1fx), longest %.1f ms; %llu late reads raced, %llu won\n",
      static_cast<unsigned long long>(seed), ms(p50), ms(healthy), ms(p50_slow), ms(slow), factor,
      kAckFactorMax, ms(longest), static_cast<unsigned long long>(status.races),
      static_cast<unsigned long long>(status.races_won));
  return factor <= kAckFactorMax && status.members_live == 10;
}

struct Rates {
  double rebuilt_bytes_per_s = 0, acks_per_s = 0;
};

// From the moment at which the spare begins to fill until it is a whole member.
Rates lose_and_rebuild(Bench& bench, Slot slot) {
  auto& pool = bench.pool();
  SQ_CHECK(bench.run(pool.fail_disk(slot, "lost for this run")).ok());
  SQ_CHECK(bench.world().run_until([&] { return pool.status().rebuild.active; }, 1min));
  const auto began = bench.node().process().loop().now();
  const auto written = pool.status().written_rebuild_bytes;
  const auto acks = bench.acks();
  SQ_CHECK(bench.world().run_until([&] { return !pool.status().rebuild.active; }, 1h));
  const auto seconds = ms(bench.node().process().loop().now() - began) / 1e3;
  SQ_CHECK(pool.status().members_missing == 0, "the rebuild left the pool with a member missing");
  return {static_cast<double>(pool.status().written_rebuild_bytes - written) / seconds,
          static_cast<double>(bench.acks() - acks) / seconds};
}

bool lost_disks(std::uint64_t seed) {
  NodeShape shape;
  shape.disk_bytes = 192u << 20;
  shape.chunk_bytes = 2u << 20;
  shape.journal_bytes = 24u << 20;
  shape.write_buffer_bytes = 16u << 20;
  Bench bench(seed, shape, 256u << 20);
  bench.fill();
  const auto idle = lose_and_rebuild(bench, Slot(static_cast<std::uint16_t>(seed % 10)));
  bench.start_clients(8, 16u << 10, 3);
  bench.let_acks(500);
  const auto began = bench.node().process().loop().now();
  bench.let_acks(4000);
  const auto healthy = 4000 / (ms(bench.node().process().loop().now() - began) / 1e3);
  const auto busy = lose_and_rebuild(bench, Slot(static_cast<std::uint16_t>((seed + 3) % 10)));
  const auto of_disk = [](double rate) { return rate / kDiskBytesPerSecond; };
  std::printf(
      "seed %llu: a rebuild writes %.0f MB/s idle = %.2fx of a disk (at least %.1fx), %.0f MB/s "
      "under clients = %.2fx (at least %.1fx), and they get %.2fx of %.0f writes/s (at least "
      "%.1fx)\n",
      static_cast<unsigned long long>(seed), idle.rebuilt_bytes_per_s / 1e6,
      of_disk(idle.rebuilt_bytes_per_s), kRebuildIdleMin, busy.rebuilt_bytes_per_s / 1e6,
      of_disk(busy.rebuilt_bytes_per_s), kRebuildBusyMin, busy.acks_per_s / healthy, healthy,
      kClientsMin);
  return of_disk(idle.rebuilt_bytes_per_s) >= kRebuildIdleMin &&
         of_disk(busy.rebuilt_bytes_per_s) >= kRebuildBusyMin &&
         busy.acks_per_s >= healthy * kClientsMin;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 1, count = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seeds" && i + 1 < argc) {
      char* rest = nullptr;
      first = std::strtoull(argv[++i], &rest, 10);
      count = *rest == ':' ? std::strtoull(rest + 1, nullptr, 10) : 1;
    } else {
      std::fprintf(stderr, "disk_sim [--seeds FIRST:COUNT]\n");
      return 2;
    }
  }
  bool reached = true;
  for (std::uint64_t seed = first; seed < first + count; ++seed)
    for (const auto part : {slow_disk, lost_disks}) reached = part(seed) && reached;
  return reached ? 0 : 1;
}
