#pragma once
// What a diff between two snapshots carries from one store to another: a stream of pieces, each
// bound to all before it, that ends with the state root. docs/formats/diff_stream.md has the bytes.
//
// Order: header; items in address order, with the extents that they need; items that a rewrite
// changed after they were sent; records; sessions; the list of snapshots; end. All behind the items
// is as of one moment and is sent anew by whoever goes on from a cursor.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "format/index_keys.hpp"
#include "format/state_root.hpp"

namespace square::format {

inline constexpr std::uint16_t kDiffVersion = 1;
inline constexpr std::size_t kDiffPieceBytesMax = 4u << 20;

struct DiffHeader {
  CellId cell;
  GroupId group;
  std::optional<DiffBase> base;  // absent: all that the target maps
  SnapshotId target;             // later than the base
  // Items begin here. A source may begin at the start instead, when it cannot go on.
  DiffCursor cursor;
  // Of a source that has the target from a diff: the rewrites that it shows, in all items; else 0.
  // As asked for: those of the streams so far; 0: nothing has come; kCameWithSeveral: of no one
  // such source.
  Sequence came_with;
  bool operator==(const DiffHeader&) const = default;
};

// An extent as it is stored, header and ciphertext. Where it lies is no part of it.
struct DiffExtent {
  VolumeId volume;
  std::uint64_t offset = 0;  // where it was written to
  ExtentRef extent;          // without a place
  ByteVector stored;
  bool operator==(const DiffExtent&) const = default;
};

// Sets the range, whatever stood there.
struct DiffItem {
  VolumeId volume;
  std::uint64_t offset = 0, length = 0;  // multiples of 4 KiB
  Mapping mapping;                       // an extent has no place
  bool operator==(const DiffItem&) const = default;
};

// The extents stand in front of the first item that names them; others the receiver has, from
// its base or from earlier pieces.
struct DiffItems {
  bool again = false;  // rewritten after they were sent
  std::vector<DiffExtent> extents;
  std::vector<DiffItem> items;  // ascending, not overlapping
  bool operator==(const DiffItems&) const = default;
};

struct DiffRecord {
  std::string key;
  std::optional<ByteVector> value;  // absent: deleted
  bool operator==(const DiffRecord&) const = default;
};
struct DiffRecords {
  std::vector<DiffRecord> records;  // ascending
  bool operator==(const DiffRecords&) const = default;
};

// The whole table as of the target.
struct DiffSession {
  SessionId session;
  SessionRow requests;
  bool operator==(const DiffSession&) const = default;
};
struct DiffSessions {
  std::vector<DiffSession> sessions;  // ascending
  bool operator==(const DiffSessions&) const = default;
};

// All that the source holds; the receiver drops others. The target is among them.
struct DiffSnapshot {
  SnapshotId id;
  std::int64_t wall_ns = 0;
  bool operator==(const DiffSnapshot&) const = default;
};
struct DiffSnapshots {
  std::vector<DiffSnapshot> snapshots;  // ascending
  bool operator==(const DiffSnapshots&) const = default;
};

// How much came in this stream.
struct DiffCounts {
  std::uint64_t items = 0, extents = 0, records = 0, sessions = 0;
  bool operator==(const DiffCounts&) const = default;
};
struct DiffEnd {
  StateHash root{};  // of the target, with all rewrites up to `rewrites`
  Sequence rewrites;
  DiffCounts counts;
  bool operator==(const DiffEnd&) const = default;
};

// In the order of a stream.
using DiffPiece =
    std::variant<DiffHeader, DiffItems, DiffRecords, DiffSessions, DiffSnapshots, DiffEnd>;

// One piece without its frame; `kind` is the place in DiffPiece. Errors: kCorrupt.
ByteVector encode_diff_body(const DiffPiece& piece);
Result<DiffPiece> decode_diff_body(std::uint8_t kind, Bytes body);

// The frames' common part: numbers and checksums, each over the one before.
struct DiffChain {
  std::uint32_t number = 0;
  std::uint64_t checksum = 0;
};

class DiffEncoder {
 public:
  // The next piece of a stream, which begins with its header. At most kDiffPieceBytesMax.
  ByteVector next(const DiffPiece& piece);

 private:
  DiffChain chain_;
};

// Takes the pieces of one stream. Whether they are what the caller asked for (cell, ends, cursor),
// and whether stored bytes are the extents that they are said to be, is for the caller to check.
class DiffDecoder {
 public:
  // Errors: kCorrupt for a piece that is damaged, not the next one, out of order, or counted
  // wrongly at the end; kUnsupported for a newer version. After an error it gives no more pieces.
  Result<DiffPiece> next(Bytes bytes);
  // Where another source goes on after the pieces so far. Items sent again do not move it.
  DiffCursor cursor() const { return cursor_; }
  bool ended() const { return place_ == kEnded; }

 private:
  static constexpr unsigned kEnded = 7;
  Result<DiffPiece> open(Bytes bytes);
  bool fits(const DiffHeader& header);
  bool fits(const DiffItems& items);
  bool fits(const DiffRecords& records);
  bool fits(const DiffSessions& sessions);
  bool fits(const DiffSnapshots& snapshots);
  bool fits(const DiffEnd& end);
  // Moves to `place` of a stream's order; false when it is past it.
  bool move_to(unsigned place);

  DiffChain chain_;
  bool failed_ = false;
  unsigned place_ = 0;  // what was last, in the stream's order
  SnapshotId target_;
  DiffCursor cursor_;
  std::string last_record_;
  SessionId last_session_;
  DiffCounts counts_;
};

}  // namespace square::format
