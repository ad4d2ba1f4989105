#pragma once
// One atomic change of the index: reads see what it has changed so far, nobody else does, and
// write() hands all of it to the Kv at once. A Batch without changes is a consistent view.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "format/index_keys.hpp"
#include "index/kv.hpp"

namespace square::index {

// A mapped range of a volume, in the present or in a history.
struct Range {
  std::uint64_t offset = 0, length = 0;
  format::Mapping mapping;
  std::uint64_t end() const { return offset + length; }
};

// The part of `range` inside [from, to), which it overlaps.
Range clip(const Range& range, std::uint64_t from, std::uint64_t to);
bool same_extent(const format::Mapping& a, const format::Mapping& b);

// Where ranges of one volume stand: the present of a group, or one history.
struct Table {
  Family family = Family::kPresent;
  std::string prefix;  // group and snapshot
  VolumeId volume;

  static Table present(GroupId group, VolumeId volume);
  static Table history(GroupId group, Sequence snapshot, VolumeId volume);
};

struct SegmentKey {
  SegmentId segment;
  format::Generation generation;
  auto operator<=>(const SegmentKey&) const = default;
};

class Batch {
 public:
  explicit Batch(Kv& kv) : kv_(kv) {}

  Result<std::optional<ByteVector>> get(Family family, const std::string& key);
  void put(Family family, std::string key, ByteVector value);
  void erase(Family family, std::string key);

  // Entries whose keys begin with `prefix`, from `from` on, until `visit` says false. It must not
  // change the batch.
  using Visit = std::function<Result<bool>(Bytes key, Bytes value)>;
  Result<> walk(Family family, const std::string& prefix, const std::string& from,
                const Visit& visit);

  // ---- ranges: pieces of one table never overlap
  // All that overlap [from, to), whole, ascending.
  Result<std::vector<Range>> overlapping(const Table& table, std::uint64_t from, std::uint64_t to);
  // Sets [from, to) to `mapping`, or to nothing; returns what stood there, clipped. Holes that
  // touch become one.
  Result<std::vector<Range>> replace(const Table& table, std::uint64_t from, std::uint64_t to,
                                     const std::optional<format::Mapping>& mapping);
  // Sets only those parts of `range` where nothing stands.
  Result<> insert_absent(const Table& table, const Range& range);
  void put_range(const Table& table, const Range& range);
  void erase_range(const Table& table, const Range& range);

  // Changes of mapped bytes and placed bytes so far, for the counters.
  struct Delta {
    std::int64_t live = 0, total = 0;
  };
  std::map<SegmentKey, Delta> deltas;
  // What the index changed in memory and has yet to put.
  std::set<std::tuple<GroupId, VolumeId, std::uint64_t>> dirty_pages;
  std::set<std::pair<GroupId, SessionId>> dirty_sessions;

  Result<> write();

 private:
  using Overlay = std::map<std::string, std::optional<ByteVector>, std::less<>>;
  KvIterator& base(Family family);
  Overlay& overlay(Family family) { return overlays_[static_cast<std::size_t>(family)]; }
  void count(const Range& range, std::int64_t sign);

  Kv& kv_;
  std::array<Overlay, kFamilies> overlays_;
  std::array<std::unique_ptr<KvIterator>, kFamilies> bases_;
};

}  // namespace square::index
