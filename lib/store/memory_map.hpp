#pragma once
// What is committed and not yet in the index: the group's one in-memory map, entered strictly in
// sequence order. Reads ask it first; the index answers for what it leaves open.

#include <map>
#include <memory>
#include <vector>

#include "format/record.hpp"

namespace square::store {

// The stored bytes of an extent that has no place yet, or nothing once it has one.
struct MemoryPiece {
  std::uint64_t offset = 0, length = 0;  // bytes of the volume
  bool known = false;                    // false: ask the index
  Sequence sequence;
  format::Mapping mapping;
  Buffer stored;  // of an unplaced extent
};

class MemoryMap {
 public:
  // `stored[i]` belongs to the i-th extent of a write; empty for a placed one. Operations without
  // ranges do nothing; nor does a rewrite: the extent that it read is in the index, and stays right
  // there until the index takes the new one.
  void enter(const format::Operation& operation, const std::vector<Buffer>& stored);

  // Covers [offset, offset + length) with touching, ascending pieces.
  std::vector<MemoryPiece> lookup(VolumeId volume, std::uint64_t offset,
                                  std::uint64_t length) const;

  // The index has taken `operation`: what it entered and nobody has overwritten goes.
  void applied(const format::Operation& operation);

  bool empty() const { return volumes_.empty(); }
  std::size_t pieces() const;

 private:
  struct Entry {
    std::uint64_t length;
    Sequence sequence;
    format::Mapping mapping;
    Buffer stored;
  };
  using Ranges = std::map<std::uint64_t, Entry>;  // by offset; entries do not overlap

  static void cut(Ranges& ranges, std::uint64_t offset, std::uint64_t length);
  static void split_at(Ranges& ranges, std::uint64_t offset);
  void forget(VolumeId volume, std::uint64_t offset, std::uint64_t length, Sequence sequence);

  std::map<VolumeId, Ranges> volumes_;
};

}  // namespace square::store
