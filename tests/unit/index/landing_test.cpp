// A diff that lands in an index, and the way back: whatever was set, the base is there again.

#include <catch2/catch.hpp>

#include "unit/index/index_world.hpp"

using namespace square;
using namespace square::index_test;

namespace {

constexpr std::uint64_t kBlocks = 600;
const VolumeId kVolumes[] = {VolumeId(1), VolumeId(2)};

// Everything that a state of the index shows.
struct Shown {
  std::map<std::pair<VolumeId, std::uint64_t>, ExtentId> blocks;
  std::vector<std::pair<std::string, ByteVector>> records;
  bool operator==(const Shown&) const = default;
};

class Landing {
 public:
  explicit Landing(unsigned seed) : random_(seed), node_(seed + 1) {}

  // A past of some snapshots; the last of them is the base.
  void live(int rounds) {
    for (const auto volume : kVolumes) log_.put(volume_record(volume), "v");
    for (int i = 0; i < rounds; ++i) {
      for (auto n = below(12); n > 0; --n) operate();
      held_.push_back(log_.mark().snapshot_id());
    }
    node_.apply(log_);
  }
  void operate() {
    const auto count = 1 + below(below(4) == 0 ? 200 : 10);
    const auto at = below(kBlocks - count);
    switch (below(5)) {
      case 0: log_.hole(kVolumes[below(2)], at, count); break;
      case 1: log_.put("name/" + std::to_string(below(5)), std::to_string(below(99))); break;
      case 2: log_.erase("name/" + std::to_string(below(5))); break;
      default: log_.write(kVolumes[below(2)], at, {static_cast<std::uint32_t>(count)}); break;
    }
  }

  Index& index() { return *node_.index; }
  Shown shown(std::optional<Sequence> at = std::nullopt) {
    Shown out;
    for (const auto volume : kVolumes)
      for (const auto& piece : must(index().lookup(kGroup, volume, 0, kBlocks * kBlock, at)))
        for (std::uint64_t i = 0; i < piece.length / kBlock; ++i)
          if (piece.mapping && !piece.mapping->hole)
            out.blocks[{volume, piece.offset / kBlock + i}] = piece.mapping->extent.id;
    out.records = must(index().records(kGroup, "", at));
    return out;
  }
  SnapshotId target() const {
    auto id = held_.empty() ? SnapshotId{} : held_.back();
    id.incarnation = Incarnation(77);
    id.sequence = Sequence(id.sequence.value + 1000);
    id.chain[0] = std::byte{9};
    return id;
  }
  std::optional<DiffBase> base() const {
    if (held_.empty()) return std::nullopt;
    return DiffBase{held_.back(), held_.back().sequence};
  }
  void begin(std::optional<DiffBase> from) {
    must(index().begin_landing(kGroup, from, target()));
    while (must(index().clear_step(kGroup, 7))) {
    }
  }
  // Random items and records; what must be shown of them.
  void land(int count) {
    std::vector<DiffItem> items;
    std::vector<StripeExtent> extents;
    for (int i = 0; i < count; ++i) {
      DiffItem item{kVolumes[below(2)], below(kBlocks - 20) * kBlock, (1 + below(20)) * kBlock, {}};
      if (below(3) != 0) {
        item.mapping.hole = false;
        auto& extent = item.mapping.extent;
        extent.id = {9, Sequence(++extents_), 0};
        extent.plain_bytes = static_cast<std::uint32_t>(item.length);
        extent.stored_bytes = extent.plain_bytes + 100;
        extents.push_back({kGroup, item.volume, item.offset, extent.plain_bytes,
                           extent.stored_bytes, extent.id, 0});
      }
      items.push_back(item);
    }
    const auto stripe = node_.stripe_of(std::move(extents));
    std::size_t next = 0;
    for (auto& item : items)
      if (!item.mapping.hole) item.mapping.extent.place = Node::place_in(stripe, next++);
    must(index().land(kGroup, items, {&stripe, 1}, std::nullopt));
    DiffRecord record{"name/" + std::to_string(below(5)), {}};
    if (below(2) == 0) record.value.emplace(3, std::byte{7});
    must(index().land_records(kGroup, {&record, 1}));
  }
  void revert(std::optional<SnapshotId> to) {
    must(index().begin_revert(kGroup, to));
    while (must(index().revert_step(kGroup, 1 + below(9)))) {
    }
  }
  void merge() {
    while (must(index().merge_step(kGroup, 5))) {
    }
    while (must(index().purge_step(kGroup, 5))) {
    }
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  const std::vector<SnapshotId>& held() const { return held_; }

 private:
  std::mt19937 random_;
  Log log_;
  Node node_;
  std::vector<SnapshotId> held_;
  std::uint64_t extents_ = 0;
};

}  // namespace

TEST_CASE("a landing that is reverted leaves every snapshot and the present as they were") {
  const auto seed = GENERATE(range(1u, 21u));
  Landing one(seed);
  one.live(3);
  const auto before = one.shown();
  std::vector<Shown> snapshots;
  for (const auto& id : one.held()) snapshots.push_back(one.shown(id.sequence));
  one.begin(one.base());
  for (int i = 0; i < 5; ++i) one.land(8);
  one.revert(one.held().back());
  CHECK(!one.index().landing(kGroup));
  CHECK(one.shown() == before);
  CHECK(one.index().applied(kGroup).sequence == one.held().back().sequence);
  for (std::size_t i = 0; i < snapshots.size(); ++i)
    CHECK(one.shown(one.held()[i].sequence) == snapshots[i]);
  must(one.index().check());
}

TEST_CASE("a revert to an older snapshot drops what is newer and shows that one") {
  const auto seed = GENERATE(range(1u, 11u));
  Landing one(seed);
  one.live(4);
  const auto old = one.shown(one.held()[1].sequence);
  one.begin(one.base());
  one.land(8);
  one.revert(one.held()[1]);
  CHECK(one.shown() == old);
  CHECK(one.shown(one.held()[1].sequence) == old);
  CHECK(one.index().snapshots(kGroup).size() == 2);
  must(one.index().check());
}

TEST_CASE("the first landing is reverted to nothing") {
  Landing one(5);
  one.begin(std::nullopt);
  for (int i = 0; i < 5; ++i) one.land(8);
  one.revert(std::nullopt);
  one.merge();
  CHECK(one.shown().blocks.empty());
  CHECK(one.shown().records.empty());
  CHECK(one.index().applied(kGroup) == Applied{});
  must(one.index().check());
  for (const auto& use : must(one.index().segment_uses())) CHECK(use.live_bytes == 0);
}

TEST_CASE("without a common base the present becomes nothing, and the snapshots stay") {
  const auto seed = GENERATE(range(1u, 11u));
  Landing one(seed);
  one.live(3);
  const auto last = one.shown(one.held().back().sequence);
  one.begin(std::nullopt);
  CHECK(one.shown() == Shown{});
  CHECK(one.shown(one.held().back().sequence) == last);
  one.land(8);
  const auto landed = one.shown();
  must(one.index().finish_landing(kGroup, {}, 5, Sequence(3000)));
  one.merge();
  CHECK(one.shown(one.held().back().sequence) == last);
  CHECK(one.index().snapshots(kGroup).back().rewrites == Sequence(3000));
  CHECK(one.shown(one.target().sequence).records == landed.records);
  must(one.index().check());
}

TEST_CASE("what has landed, and that it has not ended, is there again after reopening") {
  MapKvStorage storage;
  MapKvFactory factory(storage);
  auto index = must(Index::open(must(factory.create_empty())));
  SnapshotId target{Incarnation(1), {1, 2}, Sequence(100), {}};
  must(index->begin_landing(kGroup, std::nullopt, target));
  CHECK(!must(index->clear_step(kGroup, 10)));
  must(index->begin_stream(kGroup, {}, Sequence(120)));
  DiffItem item{VolumeId(1), 0, kBlock, {}};
  must(index->land(kGroup, {&item, 1}, {}, DiffCursor{VolumeId(1), kBlock}));
  const auto before = index->landing(kGroup);
  REQUIRE(before);
  must(index->kv().export_files());
  index.reset();
  index = must(Index::open(must(factory.open_local())));
  CHECK(index->landing(kGroup) == before);
  CHECK(index->landing(kGroup)->came_with == Sequence(120));
  CHECK(index->groups() == std::vector{kGroup});
}
