#pragma once
// Makes the stream of a diff (docs/formats/diff_stream.md) from an index and the stored extents
// that it names. No keys: extents go as they are stored. Memory: one piece, and the ids of the
// extents sent for the last MiB.

#include <functional>
#include <map>
#include <optional>

#include "env/sync.hpp"
#include "format/diff_stream.hpp"
#include "index/index.hpp"

namespace square::store {

class DiffSource {
 public:
  // The stored bytes of an extent at its place, verified against it. Errors: kNotFound when it has
  // moved: its place is looked up again.
  using ReadStored = std::function<Async<Buffer>(const format::ExtentRef& extent)>;

  // `wanted`: what the receiver asks for; it is the stream's header. Nothing is held by the source:
  // an end that is dropped under way ends the stream with an error.
  DiffSource(env::Loop& loop, index::Index& index, ReadStored read, format::DiffHeader wanted);

  // The next piece; nothing behind the end. Errors: kNotFound for an end that is not held under
  // exactly that name, or under it with other rewrites; kUnavailable while this store has not
  // applied what the other end has; those of the index and of reading. After an error the stream is
  // over; another goes on where its pieces ended.
  Async<std::optional<format::DiffPiece>> next();

 private:
  enum class Stage { kHeader, kItems, kAgain, kRecords, kSessions, kSnapshots, kEnd, kOver };
  using Cursor = index::Index::Cursor;
  using Items = std::vector<format::DiffItem>;

  Result<index::SnapshotInfo> held(const format::SnapshotId& id) const;
  Result<> check_base() const;
  // Up to where the target shows rewrites.
  Result<Sequence> rewrites_shown() const;
  Async<std::optional<format::DiffPiece>> piece();
  // Behind the cursor, in order; empty at the end. Extents have their places.
  Result<Items> changed();
  Result<Items> rewritten(Sequence since, std::optional<Cursor>& leaf);
  Result<Items> rewritten_again();
  Async<std::optional<format::DiffItems>> items(bool again);
  struct Reads;
  Task<void> read_some(Reads* reads);
  Async<> read_for(Items& listed, Reads& reads);
  Result<> add(const format::DiffItem& item, Reads& reads, format::DiffItems& out);
  bool must_come_along(const format::ExtentId& id) const;
  bool needs_extent(const format::DiffItem& item) const;
  // True when nothing was rewritten since the items were sent, at one moment with the root.
  Async<bool> take_root();
  Result<format::DiffRecords> records();
  Result<format::DiffRecords> changed_records(std::optional<Sequence> to, std::string_view end);
  format::DiffSessions sessions();

  env::Loop& loop_;
  index::Index& index_;
  ReadStored read_;
  format::DiffHeader wanted_;
  Stage stage_ = Stage::kHeader;
  Cursor cursor_;
  Sequence again_since_;  // rewrites later than this are sent again
  Sequence pass_began_;   // what the index had taken when this pass over the items began
  std::map<format::ExtentId, format::DiffCursor> sent_;  // and where each could end
  std::string last_record_;
  std::vector<index::SessionWindow> sessions_;
  std::size_t next_session_ = 0;
  format::DiffSnapshots snapshots_;
  format::DiffEnd end_;
};

}  // namespace square::store
