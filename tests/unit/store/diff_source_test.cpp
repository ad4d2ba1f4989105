// The source of a diff against the plain model: two nodes with their own placement hold the same
// snapshots, one dies midway, the other goes on; rewrites and moves get in between.

#include "store/diff_source.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/planted.hpp"
#include "format/store_records.hpp"
#include "sim/env/sim_process.hpp"
#include "unit/index/index_world.hpp"

using namespace square;
using namespace square::index_test;
using store::DiffSource;

namespace {

constexpr std::uint64_t kBlocks = 4 * kLeafBytes / kBlock;

ByteVector stored_of(const ExtentRef& extent) {
  return ByteVector(extent.stored_bytes, static_cast<std::byte>(extent.id.sequence.value));
}

using Block = std::pair<VolumeId, std::uint64_t>;

// What a receiver has of a snapshot.
struct Received {
  BlockMap blocks;
  std::map<Block, LeafPiece> mapped;  // of one block each
  std::map<std::string, std::string> records;
  std::map<SessionId, SessionRow> sessions;
  std::set<ExtentId> extents;
  SnapshotId snapshot;
  Sequence rewrites;
};

StateHash root_of(const Received& got) {
  std::vector<StateVolume> volumes;
  for (std::uint64_t v = 1; v <= 2; ++v) {
    std::map<std::uint64_t, std::vector<LeafPiece>> leaves;
    for (const auto& [block, piece] : got.mapped) {
      if (block.first != VolumeId(v)) continue;
      auto& leaf = leaves[piece.offset / kLeafBytes];
      if (!leaf.empty() && leaf.back().offset + leaf.back().length == piece.offset &&
          leaf.back().id == piece.id &&
          leaf.back().extent_offset + leaf.back().length == piece.extent_offset)
        leaf.back().length += piece.length;
      else
        leaf.push_back(piece);
    }
    std::map<std::uint64_t, StateHash> hashes;
    for (const auto& [number, leaf] : leaves) hashes[number] = state_hash(leaf_text(leaf));
    volumes.push_back({VolumeId(v), kBlocks * kBlock, plain_top(hashes)});
  }
  std::vector<std::pair<std::string, ByteVector>> records;
  for (const auto& [key, value] : got.records)
    records.emplace_back(key, ByteVector(as_bytes(value).begin(), as_bytes(value).end()));
  return state_hash(root_text(volumes, records_hash(records)));
}

class Transfers {
 public:
  explicit Transfers(unsigned seed)
      : random_(seed),
        world_(seed),
        process_(world_.add_process("n1")),
        nodes_{Node(seed * 2 + 1), Node(seed * 2 + 2)} {
    for (int i = 1; i <= 2; ++i) {
      VolumeRecord record;
      record.size_bytes = kBlocks * kBlock;
      record.extent_bytes = 65536;
      log_.put(volume_record(VolumeId(i)), std::string(as_text(encode(record))));
    }
    note();
  }

  void run(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (auto n = 1 + below(15); n > 0; --n) operate();
      mark();
      catch_up();
      transfer();
      if (held_.size() > 3 && below(2) == 0) drop();
    }
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  VolumeId any_volume() { return VolumeId(1 + below(2)); }
  void note() {
    while (modelled_ < log_.operations.size()) model_.apply(log_.operations[modelled_++]);
  }
  void mark() {
    held_.push_back(log_.mark().snapshot_id());
    note();
  }
  void catch_up() {
    for (auto& node : nodes_)
      while (node.index->applied(kGroup).sequence.value < log_.operations.size())
        node.apply(log_, 1 + below(20));
  }
  // Never a base that a receiver has.
  void drop() {
    const auto i = below(held_.size());
    if (base_ && held_[i] == base_->snapshot) return;
    log_.drop(held_[i].sequence);
    held_.erase(held_.begin() + static_cast<long>(i));
    note();
    catch_up();
    for (auto& node : nodes_)
      while (must(node.index->merge_step(kGroup, 5))) {
      }
  }
  void operate() {
    const auto count = 1 + below(below(4) == 0 ? 100 : 12);
    const auto at = below(kBlocks - count);
    switch (below(8)) {
      case 0:
      case 1: log_.hole(any_volume(), at, count); break;
      case 2: log_.put("name/" + std::to_string(below(9)), std::to_string(below(99))); break;
      case 3:
        if (below(4) == 0)
          log_.add(OperationType::kSessionEnd, SessionEndBody{SessionId(1 + below(3))});
        else
          log_.erase("name/" + std::to_string(below(9)));
        break;
      case 4: rewrite(); break;
      default: log_.write(any_volume(), at, {static_cast<std::uint32_t>(count)}); break;
    }
    if (modelled_ < log_.operations.size() && below(2) == 0) {
      log_.operations.back().session = SessionId(1 + below(3));
      log_.operations.back().request = RequestNumber(1 + below(2000));
    }
    note();
  }
  void rewrite() {
    catch_up();
    std::optional<Sequence> at;
    if (!held_.empty() && below(2) == 0) at = held_[below(held_.size())].sequence;
    const auto volume = any_volume();
    const auto pieces = must(nodes_[0].index->lookup(kGroup, volume, 0, kBlocks * kBlock, at));
    const auto& piece = pieces[below(pieces.size())];
    if (!piece.mapping || piece.mapping->hole) return;
    const auto blocks = static_cast<std::uint32_t>(piece.length / kBlock);
    auto body = log_.body(volume, piece.offset / kBlock, {blocks});
    body.expected.push_back(piece.mapping->extent.id);
    auto& tokens = model_.contents[body.extents[0].extent.id];
    const auto old = model_.contents.at(piece.mapping->extent.id);
    for (std::uint32_t i = 0; i < blocks; ++i)
      tokens.push_back(old[piece.mapping->extent_offset / kBlock + i]);
    log_.add(OperationType::kRewrite, std::move(body));
  }

  DiffSource source(Node& node, const DiffHeader& wanted) {
    const auto read = [this](const ExtentRef& extent) -> Async<Buffer> {
      if (below(10) == 0) co_return Error{Code::kNotFound, "moved"};
      co_return Buffer::copy_of(stored_of(extent));
    };
    return DiffSource(process_.env().loop, *node.index, read, wanted);
  }

  // From the base, when there is one, to any later snapshot.
  void transfer() {
    std::vector<SnapshotId> targets;
    for (const auto& id : held_)
      if (!base_ || id.sequence > base_->snapshot.sequence) targets.push_back(id);
    if (targets.empty()) return;
    DiffHeader wanted;
    wanted.group = kGroup;
    if (base_) wanted.base = DiffBase{base_->snapshot, base_->rewrites};
    wanted.target = targets[below(targets.size())];
    auto got = base_.value_or(Received{});
    while (!receive(nodes_[below(2)], wanted, got)) {
    }
    compare(wanted.target, got);
    base_ = below(6) == 0 ? std::nullopt : std::optional(got);  // else a receiver that is empty
  }

  // False when the source died: another goes on from the cursor.
  bool receive(Node& node, DiffHeader& wanted, Received& got) {
    auto diff = source(node, wanted);
    DiffEncoder encoder;
    DiffDecoder decoder;
    const auto dies = below(3) == 0 ? below(6) : 1000;
    for (std::uint64_t i = 0; i < dies; ++i) {
      const auto made = must(process_.run(diff.next()));
      if (!made) {
        demand(decoder.ended(), "the end of a stream");
        return true;
      }
      const auto piece = must(decoder.next(encoder.next(*made)));
      std::visit([&](const auto& one) { take(one, node, wanted, got); }, piece);
      wanted.cursor = decoder.cursor();
      if (below(4) != 0 || decoder.ended()) continue;
      rewrite();
      note();
      catch_up();
    }
    return false;
  }

  void take(const DiffHeader& header, Node&, const DiffHeader& wanted, Received& got) {
    got.sessions.clear();
    demand(header == wanted, "the header is what was asked for");
  }
  void take(const DiffItems& items, Node&, const DiffHeader&, Received& got) {
    for (const auto& one : items.extents) {
      demand(one.stored == stored_of(one.extent), "stored bytes");
      got.extents.insert(one.extent.id);
    }
    for (const auto& item : items.items) {
      demand(item.mapping.hole || got.extents.contains(item.mapping.extent.id),
             "an extent that has not arrived");
      model_.read(item.volume, {item.offset, item.length, item.mapping}, got.blocks);
      for (std::uint32_t i = 0; i < item.length / kBlock; ++i) {
        const Block block(item.volume, item.offset / kBlock + i);
        const auto& extent = item.mapping.extent;
        const auto inside = static_cast<std::uint32_t>(item.mapping.extent_offset + i * kBlock);
        got.mapped.erase(block);
        if (item.mapping.hole) continue;
        got.mapped[block] = {block.second * kBlock, kBlock, extent.id, inside, extent.digest};
      }
    }
  }
  void take(const DiffRecords& records, Node&, const DiffHeader&, Received& got) {
    for (const auto& [key, value] : records.records) {
      if (value)
        got.records[key] = std::string(as_text(*value));
      else
        got.records.erase(key);
    }
  }
  void take(const DiffSessions& sessions, Node&, const DiffHeader&, Received& got) {
    for (const auto& one : sessions.sessions) got.sessions[one.session] = one.requests;
  }
  void take(const DiffSnapshots& snapshots, Node&, const DiffHeader&, Received&) {
    demand(snapshots.snapshots.size() == held_.size(), "list of snapshots");
    for (std::size_t i = 0; i < held_.size(); ++i)
      demand(snapshots.snapshots[i].id == held_[i], "list of snapshots");
  }
  // The root is of what was sent, whatever is rewritten while the last pieces are.
  void take(const DiffEnd& end, Node&, const DiffHeader& wanted, Received& got) {
    demand(end.root == root_of(got), "state root of what was sent");
    got.snapshot = wanted.target;
    got.rewrites = end.rewrites;
  }

  void compare(const SnapshotId& target, const Received& got) {
    const auto& state = model_.snapshots.at(target.sequence);
    demand(got.blocks == state.blocks, "content after a transfer");
    demand(got.records == state.records, "records after a transfer");
    demand(got.sessions == state.sessions, "sessions after a transfer");
  }

  std::mt19937 random_;
  sim::SimWorld world_;
  sim::SimProcess& process_;
  Log log_;
  Model model_;
  std::array<Node, 2> nodes_;
  std::vector<SnapshotId> held_;
  std::optional<Received> base_;
  std::size_t modelled_ = 0;
};

}  // namespace

TEST_CASE("what the pieces of a diff say is the target, whichever sources they came from") {
  const auto seed = GENERATE(range(1u, 21u));
  INFO("seed " << seed);
  REQUIRE_NOTHROW(Transfers(seed).run(25));
}

TEST_CASE("a source refuses an end that it holds under another name") {
  sim::SimWorld world(1);
  auto& process = world.add_process("n1");
  Node node;
  Log log;
  const auto first = log.mark().snapshot_id();
  const auto second = log.mark().snapshot_id();
  node.apply(log);
  const auto begin = [&](std::optional<SnapshotId> base, SnapshotId target) {
    DiffHeader wanted;
    wanted.group = kGroup;
    if (base) wanted.base = DiffBase{*base, base->sequence};
    wanted.target = target;
    DiffSource source(process.env().loop, *node.index, nullptr, wanted);
    const auto made = process.run(source.next());
    return made.ok() ? std::optional<Code>() : made.code();
  };
  auto forked = first;
  forked.chain[0] ^= std::byte{1};
  auto later_term = second;
  later_term.epoch.number += 1;
  auto restored = second;
  restored.incarnation = Incarnation(78);
  CHECK(!begin(first, second));
  CHECK(begin(forked, second) == Code::kNotFound);
  CHECK(begin(first, later_term) == Code::kNotFound);
  CHECK(begin(std::nullopt, restored) == Code::kNotFound);
#ifdef SQUARE_PLANTED_BUGS
  must(set_planted_bug("snapshot_by_number"));
  CHECK(!begin(forked, second));
  clear_planted_bugs();
#endif
}

#ifdef SQUARE_PLANTED_BUGS
TEST_CASE("each planted bug of a diff's source is found by random transfers") {
  const auto name = GENERATE(as<std::string>{}, "diff_misses_hole", "diff_forgets_rewritten",
                             "root_keeps_rewritten", "diff_skips_again");
  CAPTURE(name);
  must(set_planted_bug(name));
  bool found = false;
  for (unsigned seed = 1; seed <= 20 && !found; ++seed) {
    try {
      Transfers(seed).run(25);
    } catch (const std::runtime_error&) {
      found = true;
    }
  }
  clear_planted_bugs();
  CHECK(found);
}
#endif
