#pragma once
// Tools for tests of the index: operations of one group, a node that places and applies them, and a
// plain model of what must be readable.

#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>

#include "codec/checksum.hpp"
#include "index/index.hpp"
#include "index/map_kv.hpp"

namespace square::index_test {

using namespace square::index;
using namespace square::format;

inline constexpr std::uint64_t kBlock = kBlockBytes;
inline constexpr GroupId kGroup{1};

// A failed demand ends the run; a test that plants a bug wants that.
inline void demand(bool fulfilled, const std::string& what) {
  if (!fulfilled) throw std::runtime_error(what);
}
template <class T>
T must(Result<T> result) {
  demand(result.ok(), result.ok() ? "" : result.error().message);
  return std::move(result).value();
}
inline void must(const Result<>& result) {
  demand(result.ok(), result.ok() ? "" : result.error().message);
}

inline std::string volume_record(VolumeId volume) {
  char key[32];
  std::snprintf(key, sizeof key, "vol/%016llx", static_cast<unsigned long long>(volume.value));
  return key;
}

// Makes the group's operations: sequences, chain, extents without a place.
struct Log {
  std::vector<Operation> operations;

  Operation& add(OperationType type, decltype(Operation::body) body) {
    Operation op;
    op.type = type;
    op.group = kGroup;
    op.incarnation = Incarnation(77);
    op.epoch = Epoch{1, 5};
    op.sequence = Sequence(operations.size() + 1);
    op.wall_ns = static_cast<std::int64_t>(op.sequence.value) * 1000;
    ByteVector text;
    Writer out(text);
    if (!operations.empty()) out.put_raw(operations.back().chain);
    out.put(op.sequence);
    op.chain = codec::checksum128(text);
    op.body = std::move(body);
    operations.push_back(std::move(op));
    return operations.back();
  }
  Sequence next() const { return Sequence(operations.size() + 1); }
  // Extents of `blocks` each, one after the other.
  WriteBody body(VolumeId volume, std::uint64_t block, const std::vector<std::uint32_t>& blocks) {
    WriteBody body{volume, {}, {}};
    for (const auto count : blocks) {
      ExtentRef extent;
      extent.id = {1, next(), static_cast<std::uint16_t>(body.extents.size())};
      extent.plain_bytes = count * kBlockBytes;
      extent.stored_bytes = extent.plain_bytes + 100;
      extent.checksum = next().value * 31 + body.extents.size();
      extent.digest[0] = static_cast<std::byte>(next().value);
      body.extents.push_back({block * kBlock, extent});
      block += count;
    }
    return body;
  }
  Operation& write(VolumeId volume, std::uint64_t block, std::vector<std::uint32_t> blocks) {
    return add(OperationType::kWrite, body(volume, block, blocks));
  }
  Operation& hole(VolumeId volume, std::uint64_t block, std::uint64_t count) {
    return add(OperationType::kHole, HoleBody{volume, block * kBlock, count * kBlock});
  }
  Operation& put(const std::string& key, const std::string& value) {
    const auto bytes = as_bytes(value);
    return add(OperationType::kPutRecord, RecordBody{key, {bytes.begin(), bytes.end()}});
  }
  Operation& erase(const std::string& key) {
    return add(OperationType::kDeleteRecord, RecordBody{key, {}});
  }
  Operation& mark() { return add(OperationType::kSnapshotMark, EmptyBody{}); }
  Operation& drop(Sequence snapshot) {
    return add(OperationType::kDropSnapshot,
               DropBody{operations[snapshot.value - 1].snapshot_id()});
  }
  Operation& purge(VolumeId volume) { return add(OperationType::kPurgeVolume, PurgeBody{volume}); }
};

// What one call of the index did: a record of the lane, to be done again after a fallback.
struct LaneEntry {
  std::vector<Operation> operations;
  std::vector<StripeDescriptor> stripes;
  MoveRecord move;
};

// One node: places operations in its own stripes, applies them, crashes, goes on.
class Node {
 public:
  explicit Node(unsigned seed = 1) : random(seed) {
    index = must(Index::open(must(factory.create_empty())));
  }

  StripeDescriptor stripe_of(std::vector<StripeExtent> extents) {
    if (stripes_left == 0) {
      segment = take_segment();
      generation = {1, ++generations};
      stripes_left = 4;
      stripe_block = 0;
    }
    --stripes_left;
    StripeDescriptor stripe;
    stripe.segment = segment;
    stripe.generation = generation;
    stripe.stripe_block = stripe_block++;
    stripe.strip_blocks = 512;
    stripe.k = 2;
    stripe.m = 1;
    stripe.slots = {Slot(1), Slot(2), Slot(3)};
    stripe.checksums = {1, 2, 3};
    std::uint32_t at = 0;
    for (auto& extent : extents) {
      extent.byte_offset = at;
      at += extent.stored_bytes;
    }
    stripe.extents = std::move(extents);
    return stripe;
  }
  static Place place_in(const StripeDescriptor& stripe, std::size_t i) {
    return {stripe.segment, stripe.generation, stripe.stripe_block, stripe.strip_blocks,
            stripe.extents[i].byte_offset};
  }

  void close_segment() { stripes_left = 0; }

  // The next `count` operations of the log, placed here, in one batch.
  void apply(const Log& log, std::size_t count = ~std::size_t{0}) {
    LaneEntry entry;
    std::vector<StripeExtent> extents;
    const auto first = index->applied(kGroup).sequence.value;
    for (auto i = first; i < log.operations.size() && entry.operations.size() < count; ++i) {
      entry.operations.push_back(log.operations[i]);
      if (const auto* body = log.operations[i].writes()) {
        for (const auto& written : body->extents)
          extents.push_back({kGroup, body->volume, written.offset, written.extent.plain_bytes,
                             written.extent.stored_bytes, written.extent.id, 0});
      }
    }
    if (!extents.empty()) {
      entry.stripes.push_back(stripe_of(std::move(extents)));
      std::size_t next = 0;
      for (auto& op : entry.operations) {
        auto* body = std::get_if<WriteBody>(&op.body);
        for (auto& written : body ? body->extents : none)
          written.extent.place = place_in(entry.stripes[0], next++);
      }
    }
    lane.push_back(std::move(entry));
    run(lane.size() - 1);
  }
  // Moves extents elsewhere, as cleaning does.
  void move(std::vector<MovedExtent> moved) {
    if (moved.empty()) return;
    std::vector<StripeExtent> extents;
    for (const auto& m : moved)
      extents.push_back(
          {m.group, m.volume, m.offset, m.from.plain_bytes, m.from.stored_bytes, m.from.id, 0});
    LaneEntry entry;
    entry.move.stripes.push_back(stripe_of(std::move(extents)));
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i].to = place_in(entry.move.stripes[0], i);
    entry.move.extents = std::move(moved);
    lane.push_back(std::move(entry));
    run(lane.size() - 1);
  }
  void run(std::size_t i) {
    const auto& entry = lane[i];
    const auto point = std::pair(std::uint16_t{0}, LanePoint{LanePosition(i + 1), {}});
    if (entry.move.extents.empty())
      must(index->apply(entry.operations, entry.stripes, point));
    else
      must(index->apply_move(entry.move, point));
  }
  // Falls back to an earlier flush, or to nothing, and does the lane's records again.
  void crash(std::size_t keep) {
    index.reset();
    storage.crash(keep);
    auto kv = factory.open_local();
    index = must(Index::open(kv.ok() ? std::move(kv).value() : must(factory.create_empty())));
    for (auto i = index->lane_point(0).position.value; i < lane.size(); ++i) run(i);
  }

  MapKvStorage storage;
  MapKvFactory factory{storage};
  std::unique_ptr<Index> index;
  std::vector<LaneEntry> lane;
  std::mt19937 random;

 private:
  // A free one now and then, else a new one.
  SegmentId take_segment() {
    std::map<SegmentId, std::uint64_t> live;  // over all uses that are known
    for (const auto& use : must(index->segment_uses())) live[use.segment] += use.live_bytes;
    std::vector<SegmentId> dead;
    for (const auto& [candidate, bytes] : live)
      if (bytes == 0) dead.push_back(candidate);
    demand(index->dead_segments() == dead, "dead segments are those that count no live bytes");
    for (const auto& [candidate, bytes] : live) {
      if (bytes != 0 || candidate == segment) continue;
      demand(must(index->live_extents(candidate)).empty(), "a live extent without live bytes");
      if (random() % 2 != 0) continue;
      must(index->forget_segment(candidate));
      return candidate;
    }
    return SegmentId(++segments);
  }

  std::vector<WrittenExtent> none;
  SegmentId segment;
  Generation generation;
  std::uint32_t segments = 0, generations = 0, stripes_left = 0, stripe_block = 0;
};

// The top of a state tree, level by level from all its leaves.
inline StateHash plain_top(std::map<std::uint64_t, StateHash> level) {
  if (level.empty()) return {};
  for (unsigned height = 1; height <= 11; ++height) {
    std::map<std::uint64_t, std::vector<std::pair<std::uint8_t, StateHash>>> parents;
    for (const auto& [number, hash] : level)
      parents[number / 16].emplace_back(static_cast<std::uint8_t>(number % 16), hash);
    level.clear();
    for (const auto& [number, children] : parents)
      level[number] = state_hash(node_text(height, children));
  }
  return level.at(0);
}

// "1:2" is block 2 of what extent 1 was written as; rewrites keep it.
using Token = std::pair<std::uint64_t, std::uint64_t>;
using BlockMap = std::map<std::pair<VolumeId, std::uint64_t>, Token>;  // no entry: zeros

// The plain model: every block by itself, every snapshot a copy.
struct Model {
  struct State {
    BlockMap blocks;
    std::map<std::string, std::string> records;
    std::map<SessionId, SessionRow> sessions;
    Hash128 chain{};
  };
  State now;
  std::map<Sequence, State> snapshots;
  std::map<ExtentId, std::vector<Token>> contents;
  std::map<std::pair<VolumeId, std::uint64_t>, std::set<std::uint64_t>> touched;

  void apply(const Operation& op) {
    const auto sequence = op.sequence.value;
    if (const auto* end = std::get_if<SessionEndBody>(&op.body))
      now.sessions.erase(end->session);
    else if (op.session != SessionId())
      now.sessions[op.session].add(op.request);
    if (const auto* body = op.writes()) {
      if (op.type == OperationType::kRewrite) return;
      for (const auto& written : body->extents) {
        auto& tokens = contents[written.extent.id];
        for (std::uint64_t i = 0; i < written.extent.plain_bytes / kBlock; ++i) {
          const auto block = std::pair(body->volume, written.offset / kBlock + i);
          tokens.emplace_back(sequence * 1000 + written.extent.id.index, i);
          now.blocks[block] = tokens.back();
          touched[block].insert(sequence);
        }
      }
    } else if (const auto* hole = std::get_if<HoleBody>(&op.body)) {
      for (std::uint64_t i = 0; i < hole->length / kBlock; ++i) {
        const auto block = std::pair(hole->volume, hole->offset / kBlock + i);
        now.blocks.erase(block);
        touched[block].insert(sequence);
      }
    } else if (const auto* record = std::get_if<RecordBody>(&op.body)) {
      if (op.type == OperationType::kPutRecord)
        now.records[record->key] = std::string(as_text(record->value));
      else
        now.records.erase(record->key);
    } else if (op.type == OperationType::kSnapshotMark) {
      snapshots[op.sequence] = now;
      snapshots[op.sequence].chain = op.chain;
    } else if (const auto* drop = std::get_if<DropBody>(&op.body)) {
      const auto found = snapshots.find(drop->snapshot.sequence);
      if (found != snapshots.end() && found->second.chain == drop->snapshot.chain)
        snapshots.erase(found);
    }
  }

  // Adds the pieces' content to `blocks`.
  void read(VolumeId volume, const Piece& piece, BlockMap& blocks) const {
    for (std::uint64_t i = 0; i < piece.length / kBlock; ++i) {
      const auto block = std::pair(volume, piece.offset / kBlock + i);
      if (!piece.mapping || piece.mapping->hole) {
        blocks.erase(block);
        continue;
      }
      const auto& tokens = contents.at(piece.mapping->extent.id);
      blocks[block] = tokens.at(piece.mapping->extent_offset / kBlock + i);
    }
  }
};

}  // namespace square::index_test
