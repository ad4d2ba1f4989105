// Two engines: one serves, the other takes its snapshots as diffs.

#include <catch2/catch.hpp>
#include <functional>

#include "format/diff_stream.hpp"
#include "format/store_records.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;

namespace {

constexpr GroupId kGroup{1};

struct Pair {
  Pair() : receiver(nullptr, 2) {
    source.start();
    receiver.options.receives = true;
    receiver.lent_keys = source.keys.get();
    receiver.start();
    volume = source.create("v").id;
  }
  void fill(std::uint8_t value, std::uint64_t block = 0, std::size_t blocks = 8) {
    must(source.run(source.write(volume, block * kBlockBytes, blocks_of(value, blocks))));
  }
  format::SnapshotId mark() {
    return must(source.run(source.engine->create_snapshot({"v"}, ""))).snapshot;
  }
  std::vector<format::SnapshotId> offered() { return must(source.engine->snapshot_ids(kGroup)); }
  Result<std::optional<format::DiffHeader>> begin(const format::SnapshotId& target) {
    return receiver.run(receiver.engine->begin_receiving(kGroup, target, offered()));
  }
  // All pieces of what the receiver asks for.
  std::vector<format::DiffPiece> pieces(const format::SnapshotId& target) {
    const auto wanted = must(begin(target));
    REQUIRE(wanted);
    const auto stream = must(source.engine->send_diff(*wanted));
    std::vector<format::DiffPiece> all;
    while (auto piece = must(source.run(stream->next()))) all.push_back(std::move(*piece));
    return all;
  }
  Result<> take(format::DiffPiece piece) {
    return receiver.run(receiver.engine->receive(kGroup, std::move(piece)));
  }
  void transfer(const format::SnapshotId& target) {
    for (auto& piece : pieces(target)) must(take(std::move(piece)));
  }
  static std::string name(const format::SnapshotId& id) {
    return "1-" + std::to_string(id.sequence.value);
  }

  EngineRig source, receiver;
  VolumeId volume;
};

}  // namespace

TEST_CASE_METHOD(Pair, "a snapshot that came as a diff reads as at its source") {
  fill(1);
  const auto first = mark();
  fill(2, 4);
  const auto second = mark();
  fill(3);
  transfer(first);
  transfer(second);
  CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(first)) == blocks_of(1, 8));
  auto mixed = blocks_of(1, 4);
  const auto more = blocks_of(2, 8);
  mixed.insert(mixed.end(), more.begin(), more.end());
  CHECK(receiver.read(volume, 0, 12 * kBlockBytes, name(second)) == mixed);
  const auto volumes = must(receiver.run(receiver.engine->list_volumes(false)));
  REQUIRE(volumes.size() == 1);
  CHECK(volumes[0].name == "v");
  CHECK(volumes[0].used_bytes == 12 * kBlockBytes);
  receiver.check();
  // Nothing of it depends on the local index.
  receiver.crash(sim::CrashKind::kPowerLoss, 0);
  receiver.start();
  CHECK(receiver.read(volume, 0, 12 * kBlockBytes, name(second)) == mixed);
  CHECK(!must(begin(second)));
}

TEST_CASE_METHOD(Pair,
                 "a store that receives refuses what would change it, and reads of no snapshot") {
  fill(1);
  transfer(mark());
  const auto& engine = receiver.engine;
  store::CreateVolume request;
  request.name = "w";
  request.size_bytes = 1u << 20;
  CHECK(receiver.run(engine->create_volume(request)).code() == Code::kConflict);
  CHECK(receiver.run(receiver.write(volume, 0, blocks_of(1))).code() == Code::kConflict);
  CHECK(receiver.run(engine->zero(volume, 0, kBlockBytes)).code() == Code::kConflict);
  CHECK(receiver.run(engine->open_session()).code() == Code::kConflict);
  CHECK(receiver.run(engine->create_snapshot({"v"}, "")).code() == Code::kConflict);
  CHECK(receiver.run(engine->read(volume, 0, kBlockBytes)).code() == Code::kConflict);
  CHECK(source.run(source.engine->begin_receiving(kGroup, {}, {})).code() == Code::kConflict);
}

TEST_CASE_METHOD(Pair, "half a diff changes nothing in what a receiver lists") {
  fill(1);
  const auto first = must(source.run(source.engine->create_snapshot({"v"}, "monday"))).snapshot;
  transfer(first);
  fill(2);
  const auto second = mark();
  transfer(second);
  const auto names = [this] {
    std::vector<std::string> all;
    for (const auto& one : must(receiver.run(receiver.engine->list_snapshots())))
      all.push_back(one.id + " " + one.name);
    for (const auto& one : must(receiver.run(receiver.engine->list_volumes(true))))
      all.push_back(one.name + " " + std::to_string(one.used_bytes));
    return all;
  };
  const auto before = names();
  CHECK(before.front() == name(first) + " monday");
  must(source.run(source.engine->delete_volume("v")));
  source.create("w");
  const auto third = must(source.run(source.engine->create_snapshot({"w"}, ""))).snapshot;
  // Everything but the end; and the present is cleared first.
  auto offer = offered();
  std::erase(offer, first);
  std::erase(offer, second);
  const auto wanted =
      must(receiver.run(receiver.engine->begin_receiving(kGroup, third, std::move(offer))));
  REQUIRE(wanted);
  CHECK(!wanted->base);
  CHECK(names() == before);
  const auto stream = must(source.engine->send_diff(*wanted));
  std::optional<format::DiffPiece> end;
  while (auto piece = must(source.run(stream->next()))) {
    if (end) must(take(std::move(*end)));
    end = std::move(*piece);
  }
  CHECK(names() == before);
  must(take(std::move(*end)));
  CHECK(names() != before);
}

TEST_CASE_METHOD(Pair, "pieces of another stream, or out of turn, are refused") {
  fill(1);
  const auto first = mark();
  auto all = pieces(first);
  CHECK(take(all[1]).code() == Code::kInvalid);  // no header yet
  auto other = std::get<format::DiffHeader>(all[0]);
  other.target.chain[3] ^= std::byte{1};
  CHECK(take(other).code() == Code::kInvalid);
  transfer(first);
  CHECK(take(all[0]).code() == Code::kInvalid);  // it has arrived
}

TEST_CASE_METHOD(Pair, "an extent that is not what it is said to be is refused, and comes again") {
  fill(1);
  const auto first = mark();
  auto all = pieces(first);
  must(take(all[0]));
  auto bad = std::get<format::DiffItems>(all[1]);
  bad.extents[0].stored.back() ^= std::byte{1};
  CHECK(take(bad).code() == Code::kCorrupt);
  transfer(first);
  CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(first)) == blocks_of(1, 8));
}

TEST_CASE_METHOD(Pair,
                 "an item that does not fit the extent it names is refused, and harms nothing") {
  fill(1, 16, 16);
  const auto first = mark();
  const auto spoiled = [&](const std::function<void(format::DiffItem&)>& spoil) {
    const auto all = pieces(first);
    must(take(all[0]));
    auto items = std::get<format::DiffItems>(all[1]);
    for (auto& item : items.items)
      if (!item.mapping.hole) spoil(item);
    return take(items).code();
  };
  CHECK(spoiled([](auto& item) { item.mapping.extent.digest[0] ^= std::byte{1}; }) ==
        Code::kCorrupt);
  CHECK(spoiled([](auto& item) { item.volume = VolumeId(item.volume.value + 1); }) ==
        Code::kCorrupt);
  CHECK(spoiled([](auto& item) { item.offset += kBlockBytes; }) == Code::kCorrupt);
  CHECK(spoiled([](auto& item) {
          item.offset = 0;
          item.length = kBlockBytes;
          item.mapping.extent_offset = kBlockBytes;
        }) == Code::kCorrupt);
  transfer(first);
  CHECK(receiver.read(volume, 16 * kBlockBytes, 16 * kBlockBytes, name(first)) == blocks_of(1, 16));
  receiver.check();
}

TEST_CASE_METHOD(Pair, "an item whose extent never came is refused") {
  fill(1);
  const auto first = mark();
  auto all = pieces(first);
  must(take(all[0]));
  auto bad = std::get<format::DiffItems>(all[1]);
  bad.extents.clear();
  CHECK(take(bad).code() == Code::kCorrupt);
}

TEST_CASE_METHOD(Pair, "a record that this release could not read is refused before it is held") {
  fill(1);
  const auto first = mark();
  const auto with_level = [&](std::uint16_t level) {
    auto all = pieces(first);
    for (auto& piece : all) {
      auto* records = std::get_if<format::DiffRecords>(&piece);
      if (records == nullptr) {
        must(take(piece));
        continue;
      }
      for (auto& record : records->records) {
        if (record.key != format::kGroupKey) continue;
        auto group = must(format::decode_group_record(*record.value));
        group.level = level;
        record.value = format::encode(group);
      }
      return take(piece).code();
    }
    return Code::kInvalid;
  };
  CHECK(with_level(format::kFeatureLevel + 1) == Code::kUnsupported);
  transfer(first);
  receiver.crash();
  receiver.start();
  CHECK(must(receiver.engine->snapshot_ids(kGroup)) == std::vector{first});
}

TEST_CASE_METHOD(Pair, "a target with another state root is not shown, and is fetched anew") {
  fill(1);
  const auto first = mark();
  transfer(first);
  fill(2);
  const auto second = mark();
  auto all = pieces(second);
  auto& end = std::get<format::DiffEnd>(all.back());
  end.root[0] ^= std::byte{1};
  for (std::size_t i = 0; i + 1 < all.size(); ++i) must(take(all[i]));
  CHECK(take(all.back()).code() == Code::kCorrupt);
  CHECK(must(receiver.engine->snapshot_ids(kGroup)) == std::vector{first});
  // From nothing: what the two call the base may differ.
  const auto again = must(begin(second));
  REQUIRE(again);
  CHECK(!again->base);
  transfer(second);
  CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(second)) == blocks_of(2, 8));
  CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(first)) == blocks_of(1, 8));
  receiver.check();
}

TEST_CASE_METHOD(Pair, "a snapshot that a diff is made of or lands on is not dropped") {
  fill(1);
  const auto first = mark();
  transfer(first);
  fill(2);
  const auto second = mark();
  const auto wanted = must(begin(second));
  {
    const auto stream = must(source.engine->send_diff(*wanted));
    const auto drop = [this](const format::SnapshotId& id) {
      return source.run(source.engine->drop_snapshot(name(id))).code();
    };
    CHECK(drop(first) == Code::kBusy);
    CHECK(drop(second) == Code::kBusy);
  }
  CHECK(receiver.run(receiver.engine->drop_snapshot(name(first))).code() == Code::kBusy);
  must(source.run(source.engine->drop_snapshot(name(second))));
  const auto gone = must(source.engine->send_diff(*wanted));
  CHECK(source.run(gone->next()).code() == Code::kNotFound);
}

TEST_CASE_METHOD(Pair, "a receiver drops a snapshot for good, and its space comes back") {
  fill(1, 0, 256);
  const auto first = mark();
  transfer(first);
  fill(2, 0, 256);
  const auto second = mark();
  transfer(second);
  must(receiver.run(receiver.engine->drop_snapshot(name(first))));
  receiver.crash();
  receiver.start();
  CHECK(must(receiver.engine->snapshot_ids(kGroup)) == std::vector{second});
  CHECK(receiver.run(receiver.engine->drop_snapshot(name(first))).code() == Code::kNotFound);
  CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(second)) == blocks_of(2, 8));
  receiver.check();
}

TEST_CASE_METHOD(Pair,
                 "a store with half a diff, or with rewrites ahead of its log, cannot serve") {
  fill(1);
  const auto first = mark();
  transfer(first);
  fill(2);
  const auto wanted = must(begin(mark()));
  REQUIRE(wanted);
  must(receiver.run(receiver.engine->checkpoint()));
  receiver.crash();
  receiver.options.receives = false;
  index::MapKvFactory files(receiver.storage);
  const auto opened = receiver.run(
      store::Engine::open(receiver.process.env(), receiver.options, files, *source.keys));
  REQUIRE(!opened.ok());
  CHECK(opened.code() == Code::kConflict);
}

TEST_CASE_METHOD(Pair,
                 "a receiver without room says so, and takes the same piece when there is some") {
  // More than the receiver can hold twice.
  const auto write_all = [this](std::uint8_t value) {
    for (std::uint64_t at = 0; at < 4u << 20; at += 1u << 20)
      must(source.run(source.write(volume, at, blocks_of(value, 256))));
  };
  std::vector<format::SnapshotId> taken;
  bool full = false;
  for (std::uint8_t round = 1; round < 20 && !full; ++round) {
    write_all(round);
    const auto id = mark();
    for (auto& piece : pieces(id)) {
      for (int tries = 0; tries < 50; ++tries) {
        const auto done = take(piece);
        if (done.ok()) break;
        REQUIRE(done.code() == Code::kNoSpace);
        full = true;
        REQUIRE(!taken.empty());
        must(receiver.run(receiver.engine->drop_snapshot(name(taken.front()))));
        taken.erase(taken.begin());
        receiver.world.run_for(std::chrono::seconds(3));
      }
    }
    taken.push_back(id);
    CHECK(receiver.read(volume, 0, 8 * kBlockBytes, name(id)) == blocks_of(round, 8));
    if (round > 1 && taken.size() > 1)
      must(source.run(source.engine->drop_snapshot(name(offered().front()))));
    source.world.run_for(std::chrono::seconds(3));
  }
  CHECK(full);
  receiver.check();
}
