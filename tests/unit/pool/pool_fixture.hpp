#pragma once
// A pool on simulated disks, the index played by a map.

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "pool/layout.hpp"
#include "pool/pool.hpp"
#include "sim/env/sim_process.hpp"

namespace square::pool::test {

struct Shape {
  std::uint8_t k = 8, m = 2;
  int spares = 2;
  std::uint64_t disk_bytes = 32u << 20;
};

class MapCatalog final : public StripeCatalog {
 public:
  Result<std::optional<format::StripeDescriptor>> find(SegmentId segment,
                                                       format::Generation generation,
                                                       std::uint32_t stripe_block) override {
    if (broken) return Error{Code::kIo, "the catalog is broken"};
    for (const auto& stripe : stripes)
      if (stripe.segment == segment && stripe.generation == generation &&
          stripe.stripe_block == stripe_block)
        return std::optional(stripe);
    return std::optional<format::StripeDescriptor>();
  }
  Result<std::vector<format::StripeDescriptor>> in_segment(SegmentId segment) override {
    if (broken) return Error{Code::kIo, "the catalog is broken"};
    std::vector<format::StripeDescriptor> found;
    for (const auto& stripe : stripes)
      if (stripe.segment == segment) found.push_back(stripe);
    return found;
  }
  void forget(SegmentId segment) {
    std::erase_if(stripes, [&](const auto& stripe) { return stripe.segment == segment; });
  }
  std::vector<format::StripeDescriptor> stripes;
  bool broken = false;
};

inline Buffer noise(std::size_t size, std::uint64_t seed) {
  auto buffer = Buffer::allocate(size);
  sim::Rng rng(seed + 1);
  for (std::size_t i = 0; i < size; ++i)
    buffer.data()[i] = static_cast<std::byte>(rng.next() & 0xff);
  return buffer;
}

inline bool same(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

struct StoredItem {
  Buffer bytes;
  format::Place place;
};

struct Cluster {
  explicit Cluster(Shape shape_ = {}, std::uint64_t seed = 1)
      : shape(shape_), world(seed), node(world.add_process("n1")) {
    cell.uuid = node.random().uuid();
    node_id.uuid = node.random().uuid();
    for (int i = 0; i < shape.k + shape.m + shape.spares; ++i) {
      paths.push_back("/dev/d" + std::to_string(i));
      node.disks().add(paths.back(), shape.disk_bytes);
    }
    node.disks().set_timing(sim::DiskTiming::instant());
  }
  ~Cluster() {
    if (pool && node.running()) stop();
  }

  FormatOptions format_options() const {
    FormatOptions options;
    options.cell = cell;
    options.node = node_id;
    options.paths = paths;
    options.k = shape.k;
    options.m = shape.m;
    options.journal_bytes = 4u << 20;  // leaves small disks room for chunks
    return options;
  }
  OpenOptions open_options() const {
    OpenOptions options;
    options.cell = cell;
    options.node = node_id;
    options.paths = paths;
    return options;
  }
  Result<> format() { return node.run(Pool::format(node.env(), format_options())); }
  Result<> open() {
    auto opened = node.run(Pool::open(node.env(), open_options()));
    if (!opened.ok()) return std::move(opened).error();
    pool = std::move(opened).value();
    return {};
  }
  void serve() {
    for (const auto& stripe : catalog.stripes) CHECK(pool->adopt(stripe, true).ok());
    epoch = pool->last_epoch();
    pool->serve(epoch, &catalog, [this](Slot slot) { lost.push_back(slot); });
  }
  // Formats, opens, serves.
  Cluster& ready() {
    REQUIRE(format().ok());
    REQUIRE(open().ok());
    auto none = node.run(pool->load_checkpoint());
    REQUIRE(none.ok());
    REQUIRE_FALSE(none->has_value());
    REQUIRE(node.run(pool->begin_epoch(pool->last_epoch() + 1)).ok());
    serve();
    return *this;
  }
  void stop() {
    node.run(pool->stop());
    pool.reset();
  }
  void crash(sim::CrashKind kind = sim::CrashKind::kPowerLoss) {
    node.crash(kind);
    pool.reset();
    node.restart();
  }
  // Opens again, loads the newest checkpoint, confirms it and serves.
  std::optional<Checkpoint> reopen() {
    if (pool) stop();
    auto opened = open();
    INFO((opened.ok() ? std::string() : opened.error().message));
    REQUIRE(opened.ok());
    auto loaded = node.run(pool->load_checkpoint());
    INFO((loaded.ok() ? std::string() : loaded.error().message));
    REQUIRE(loaded.ok());
    REQUIRE(node.run(pool->begin_epoch(pool->last_epoch() + 1)).ok());
    serve();
    return *loaded;
  }

  Result<WrittenStripe> write(const std::vector<Buffer>& items,
                              StripeClass kind = StripeClass::kFresh) {
    std::vector<StripeItem> list;
    for (const auto& item : items) list.push_back({{item}, {}});
    return node.run(pool->write_stripe(kind, std::move(list)));
  }
  // Written, remembered and told to the catalog.
  Result<> store(const std::vector<std::size_t>& sizes, StripeClass kind = StripeClass::kFresh) {
    std::vector<Buffer> items;
    for (const auto size : sizes) items.push_back(noise(size, ++seeds));
    auto written = write(items, kind);
    if (!written.ok()) return std::move(written).error();
    catalog.stripes.push_back(written->stripe);
    pool->stripe_is_indexed(written->stripe);
    for (std::size_t i = 0; i < items.size(); ++i) stored.push_back({items[i], written->places[i]});
    return {};
  }
  Result<Buffer> read(const StoredItem& item) {
    const Pool::Verify verify = [&](Bytes bytes) { return same(bytes, item.bytes.bytes()); };
    return node.run(
        pool->read_place(item.place, static_cast<std::uint32_t>(item.bytes.size()), verify));
  }
  // The number of items that do not read back.
  std::size_t unreadable() {
    std::size_t count = 0;
    for (const auto& item : stored) {
      const auto bytes = read(item);
      if (bytes.ok() && same(bytes->bytes(), item.bytes.bytes())) continue;
      if (++count == 1)
        UNSCOPED_INFO((bytes.ok() ? std::string("wrong bytes") : bytes.error().message));
    }
    return count;
  }

  sim::SimMedium& medium(std::size_t i) { return node.disks().at(paths[i]); }
  void vanish(std::size_t i, bool gone = true) { medium(i).set_vanished(gone); }

  // Checkpoint `number` with the given file seeds: file N has content noise(N).
  Result<> checkpoint(std::uint64_t number, const std::vector<std::uint64_t>& files,
                      std::size_t file_bytes = 20'000) {
    return node.run(write_checkpoint(number, files, file_bytes));
  }
  Async<> write_checkpoint(std::uint64_t number, std::vector<std::uint64_t> files,
                           std::size_t file_bytes) {
    Checkpoint checkpoint;
    checkpoint.id = {epoch, number};
    checkpoint.header = {std::byte{1}, static_cast<std::byte>(number)};
    for (const auto file : files)
      checkpoint.files.push_back({"f" + std::to_string(file),
                                  "key" + std::to_string(file) + "/" + std::to_string(file_bytes),
                                  file_bytes});
    auto read = [this, file_bytes](const CheckpointFile& file, std::uint64_t offset,
                                   std::uint32_t size) -> Async<Buffer> {
      ++files_read;
      const auto content = noise(file_bytes, std::stoull(file.name.substr(1)));
      co_return content.slice(offset, size);
    };
    const Pool::ReadFile reader = read;
    co_return co_await pool->write_checkpoint(std::move(checkpoint), reader);
  }
  // Every file of the loaded checkpoint has its content.
  bool checkpoint_reads(const Checkpoint& checkpoint) {
    for (const auto& file : checkpoint.files) {
      auto bytes = node.run(
          pool->read_checkpoint_file(file, 0, static_cast<std::uint32_t>(file.size_bytes)));
      const auto expected = noise(file.size_bytes, std::stoull(file.name.substr(1)));
      if (!bytes.ok() || !same(bytes->bytes(), expected.bytes())) return false;
    }
    return true;
  }
  DiskStatus disk(std::size_t i) {
    for (const auto& status : pool->disks())
      if (status.path == paths[i]) return status;
    return {};
  }

  Shape shape;
  sim::SimWorld world;
  sim::SimProcess& node;
  CellId cell;
  NodeId node_id;
  std::vector<std::string> paths;
  MapCatalog catalog;
  std::unique_ptr<Pool> pool;
  std::vector<StoredItem> stored;
  std::vector<Slot> lost;
  std::uint32_t epoch = 0;
  std::uint64_t seeds = 0;
  std::size_t files_read = 0;
};

}  // namespace square::pool::test
