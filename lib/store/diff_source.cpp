#include "store/diff_source.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "format/store_records.hpp"

namespace square::store {

using format::DiffCursor;
using format::DiffItem;
using format::DiffItems;
using format::DiffPiece;
using format::kLeafBytes;

namespace {

constexpr std::size_t kItemsAtOnce = 512;
constexpr std::size_t kStoredBytesAtOnce = 1u << 20;  // of a piece; one extent may be longer
constexpr std::size_t kReadsAtOnce = 8;
constexpr std::size_t kRecordsAtOnce = 32;  // of at most 64 KiB
constexpr std::size_t kSessionsAtOnce = 4096;
constexpr std::size_t kLeavesAtOnce = 256;
constexpr int kReadAttempts = 8;
constexpr std::string_view kBehindSeals = "seal0", kBehindAll = "\xff";

DiffItem item_of(VolumeId volume, const index::Piece& piece) {
  return {volume, piece.offset, piece.length, *piece.mapping};
}

}  // namespace

DiffSource::DiffSource(env::Loop& loop, index::Index& index, ReadStored read,
                       format::DiffHeader wanted)
    : loop_(loop), index_(index), read_(std::move(read)), wanted_(std::move(wanted)) {}

Result<index::SnapshotInfo> DiffSource::held(const format::SnapshotId& id) const {
  for (auto& held : index_.snapshots(wanted_.group)) {
    if (held.id == id) return held;
    if (held.id.sequence == id.sequence && SQ_PLANTED("snapshot_by_number")) return held;
  }
  return Error{Code::kNotFound,
               "this snapshot is not held here: sequence " + std::to_string(id.sequence.value)};
}

// A base with other identities than the receiver's would leave some of them behind.
Result<> DiffSource::check_base() const {
  const auto& base = *wanted_.base;
  SQ_TRY(const auto here, held(base.snapshot));
  if (here.rewrites && *here.rewrites != base.rewrites_from)
    return Error{Code::kNotFound, "the base of the diff has other rewrites here"};
  if (!here.rewrites && base.rewrites_from > index_.applied(wanted_.group).sequence)
    return Error{Code::kUnavailable, "the base of the diff has rewrites that have not come here"};
  return {};
}

// What came as a diff shows those that its source had; what the log brought, those of the log. A
// store that took over from a diff and went on with the log has both.
Result<Sequence> DiffSource::rewrites_shown() const {
  SQ_TRY(const auto target, held(wanted_.target));
  const auto applied = index_.applied(wanted_.group).sequence;
  const auto all = index_.snapshots(wanted_.group);
  const bool came_whole = all.back().rewrites && all.back().id.sequence == applied;
  if (target.rewrites && came_whole) return *target.rewrites;
  const bool behind =
      std::ranges::any_of(all, [&applied](const auto& one) { return one.rewrites > applied; });
  if (target.rewrites || behind)
    return Error{Code::kUnavailable,
                 "this store has the target from a diff and has gone on since: another must send"};
  return applied;
}

Async<std::optional<DiffPiece>> DiffSource::next() {
  if (stage_ == Stage::kOver) co_return std::optional<DiffPiece>();
  auto made = co_await piece();
  if (!made.ok()) stage_ = Stage::kOver;
  co_return made;
}

Async<std::optional<DiffPiece>> DiffSource::piece() {
  if (stage_ == Stage::kHeader) {
    if (wanted_.base) SQ_CO_TRY(check_base());
    SQ_CO_TRY(rewrites_shown());
    SQ_CO_TRY(const auto target, held(wanted_.target));
    // What is in front of the cursor shows other rewrites, and nobody here knows which.
    const auto came_with = target.rewrites.value_or(Sequence());
    if (target.rewrites && wanted_.came_with != came_with && !SQ_PLANTED("diff_mixes_rewrites"))
      wanted_.cursor = {};
    wanted_.came_with = came_with;
    pass_began_ = index_.applied(wanted_.group).sequence;
    // What another source has sent may have been rewritten at any time since.
    again_since_ = wanted_.cursor == DiffCursor{} ? pass_began_ : wanted_.target.sequence;
    cursor_ = {wanted_.cursor.volume, wanted_.cursor.offset};
    stage_ = Stage::kItems;
    co_return DiffPiece(wanted_);
  }
  if (stage_ == Stage::kItems) {
    SQ_CO_TRY(auto made, co_await items(false));
    if (made) co_return DiffPiece(std::move(*made));
    stage_ = Stage::kAgain;
    cursor_ = {};
    sent_.clear();
  }
  while (stage_ == Stage::kAgain) {
    if (cursor_.volume == VolumeId() && cursor_.offset == 0)
      pass_began_ = index_.applied(wanted_.group).sequence;
    SQ_CO_TRY(auto made, co_await items(true));
    if (made) co_return DiffPiece(std::move(*made));
    again_since_ = pass_began_;
    cursor_ = {};
    sent_.clear();
    SQ_CO_TRY(const bool taken, co_await take_root());
    if (taken) stage_ = Stage::kRecords;
  }
  if (stage_ == Stage::kRecords) {
    SQ_CO_TRY(auto made, records());
    if (!made.records.empty()) co_return DiffPiece(std::move(made));
    SQ_CO_TRY(sessions_, index_.sessions_at(wanted_.group, wanted_.target.sequence));
    stage_ = Stage::kSessions;
  }
  if (stage_ == Stage::kSessions) {
    if (next_session_ < sessions_.size()) co_return DiffPiece(sessions());
    stage_ = Stage::kSnapshots;
  }
  if (stage_ == Stage::kSnapshots) {
    stage_ = Stage::kEnd;
    co_return DiffPiece(snapshots_);
  }
  stage_ = Stage::kOver;
  co_return DiffPiece(end_);
}

// ---- items

// What the leaf at or behind the cursor shows that was rewritten after `since`; `leaf` is where it
// begins, or nothing.
Result<DiffSource::Items> DiffSource::rewritten(Sequence since, std::optional<Cursor>& leaf) {
  SQ_TRY(const auto leaves, index_.rewritten(wanted_.group, since, cursor_, 1));
  leaf.reset();
  Items found;
  if (leaves.empty()) return found;
  leaf = leaves[0];
  auto from = leaf->offset;
  if (leaf->volume == cursor_.volume) from = std::max(from, cursor_.offset);
  SQ_TRY(const auto pieces,
         index_.lookup(wanted_.group, leaf->volume, from, leaf->offset + kLeafBytes - from,
                       wanted_.target.sequence));
  for (const auto& piece : pieces)
    if (piece.mapping) found.push_back(item_of(leaf->volume, piece));
  return found;
}

// Ranges that changed, and leaves in which something was rewritten that the base does not have yet.
Result<DiffSource::Items> DiffSource::changed() {
  std::optional<Sequence> from;
  if (wanted_.base) from = wanted_.base->snapshot.sequence;
  while (true) {
    SQ_TRY(const auto changes,
           index_.diff(wanted_.group, from, wanted_.target.sequence, cursor_, kItemsAtOnce));
    std::optional<Cursor> leaf;
    Items in_leaf, found;
    if (wanted_.base) {
      SQ_TRY(in_leaf, rewritten(wanted_.base->rewrites_from, leaf));
    }
    for (const auto& [volume, piece] : changes) {
      auto item = item_of(volume, piece);
      if (leaf && std::pair(volume, piece.offset) >= std::pair(leaf->volume, leaf->offset)) break;
      if (leaf && leaf->volume == volume)
        item.length = std::min(item.length, leaf->offset - item.offset);
      found.push_back(std::move(item));
    }
    if (!found.empty() || !leaf) return found;
    if (!in_leaf.empty()) return in_leaf;
    cursor_ = {leaf->volume, leaf->offset + kLeafBytes};
  }
}

Result<DiffSource::Items> DiffSource::rewritten_again() {
  while (true) {
    std::optional<Cursor> leaf;
    SQ_TRY(auto found, rewritten(again_since_, leaf));
    if (SQ_PLANTED("diff_skips_again")) return Items();
    if (!found.empty() || !leaf) return found;
    cursor_ = {leaf->volume, leaf->offset + kLeafBytes};
  }
}

bool DiffSource::must_come_along(const format::ExtentId& id) const {
  return !wanted_.base || id.sequence > wanted_.base->snapshot.sequence;
}

// What is read for one piece.
struct DiffSource::Reads {
  std::vector<format::ExtentRef> extents;
  std::map<format::ExtentId, Result<Buffer>> stored;
  std::size_t next = 0;
};

Task<void> DiffSource::read_some(Reads* reads) {
  while (reads->next < reads->extents.size()) {
    const auto& extent = reads->extents[reads->next++];
    reads->stored.insert_or_assign(extent.id, co_await read_(extent));
  }
}

bool DiffSource::needs_extent(const DiffItem& item) const {
  const auto& id = item.mapping.extent.id;
  return !item.mapping.hole && must_come_along(id) && !sent_.contains(id);
}

// Cuts `listed` behind what fills a piece, and reads all extents that it needs.
Async<> DiffSource::read_for(Items& listed, Reads& reads) {
  std::size_t bytes = 0, count = 0;
  for (; count < listed.size() && bytes < kStoredBytesAtOnce; ++count) {
    if (!needs_extent(listed[count])) continue;
    const auto& extent = listed[count].mapping.extent;
    if (!reads.stored.try_emplace(extent.id, Buffer()).second) continue;
    reads.extents.push_back(extent);
    bytes += extent.stored_bytes;
  }
  listed.resize(count);
  env::Scope scope(loop_);
  for (std::size_t i = 0; i < std::min(kReadsAtOnce, reads.extents.size()); ++i)
    scope.spawn(read_some(&reads));
  co_await scope.join();
  co_return {};
}

Result<> DiffSource::add(const DiffItem& item, Reads& reads, DiffItems& out) {
  auto unplaced = item;
  auto& extent = unplaced.mapping.extent;
  extent.place = {};
  if (needs_extent(item)) {
    SQ_TRY(const auto& stored, reads.stored.at(extent.id));
    const auto home = item.offset - item.mapping.extent_offset;
    const auto bytes = stored.bytes();
    out.extents.push_back({item.volume, home, extent, {bytes.begin(), bytes.end()}});
    sent_[extent.id] = {item.volume, home + extent.plain_bytes};
  }
  out.items.push_back(std::move(unplaced));
  cursor_ = {item.volume, item.offset + item.length};
  return {};
}

// An extent that moves while its place is read: what there is so far is a piece, or it is looked up
// again.
Async<std::optional<DiffItems>> DiffSource::items(bool again) {
  std::erase_if(sent_, [&](const auto& one) {
    return one.second <= DiffCursor{cursor_.volume, cursor_.offset};
  });
  DiffItems out;
  out.again = again;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    SQ_CO_TRY(auto listed, again ? rewritten_again() : changed());
    if (listed.empty()) co_return std::optional<DiffItems>();
    Reads reads;
    SQ_CO_TRY(co_await read_for(listed, reads));
    Result<> added;
    for (const auto& item : listed) {
      added = add(item, reads, out);
      if (!added.ok()) break;
    }
    if (!added.ok() && added.code() != Code::kNotFound) co_return added.error();
    if (out.items.empty()) continue;
    end_.counts.items += out.items.size();
    end_.counts.extents += out.extents.size();
    co_return std::optional(std::move(out));
  }
  co_return Error{Code::kUnavailable, "diff: an extent moved each time that it was read"};
}

// ---- what is as of one moment

Async<bool> DiffSource::take_root() {
  while (true) {
    SQ_CO_TRY(const auto root,
              index_.state_root_step(wanted_.group, wanted_.target.sequence, kLeavesAtOnce));
    if (root) {
      SQ_CO_TRY(const auto later, index_.rewritten(wanted_.group, again_since_, {}, 1));
      if (!later.empty()) co_return false;
      end_.root = *root;
      SQ_CO_TRY(end_.rewrites, rewrites_shown());
      for (const auto& held : index_.snapshots(wanted_.group))
        snapshots_.snapshots.push_back({held.id, held.wall_ns});
      co_return true;
    }
    co_await env::yield(loop_);
  }
}

// Up to `to`, with keys below `end`; behind it when there are none.
Result<format::DiffRecords> DiffSource::changed_records(std::optional<Sequence> to,
                                                        std::string_view end) {
  format::DiffRecords out;
  if (last_record_ >= end) return out;
  std::optional<Sequence> from;
  if (wanted_.base) from = wanted_.base->snapshot.sequence;
  SQ_TRY(auto changes,
         index_.record_changes(wanted_.group, from, to, last_record_, kRecordsAtOnce));
  for (auto& [key, value] : changes) {
    if (key >= end) break;
    out.records.push_back({key, std::move(value)});
  }
  last_record_ = out.records.empty() ? std::string(end) : out.records.back().key;
  end_.counts.records += out.records.size();
  return out;
}

// As of the target; but what was rewritten since is sealed under later seals. A target that came
// as a diff has those among its records.
Result<format::DiffRecords> DiffSource::records() {
  const auto target = wanted_.target.sequence;
  const bool has_all = wanted_.came_with != Sequence() || SQ_PLANTED("diff_keeps_late_seals");
  const auto seals_to = has_all ? std::optional(target) : std::nullopt;
  SQ_TRY(auto out, changed_records(target, format::kSealPrefix));
  if (out.records.empty()) {
    SQ_TRY(out, changed_records(seals_to, kBehindSeals));
  }
  if (out.records.empty()) {
    SQ_TRY(out, changed_records(target, kBehindAll));
  }
  return out;
}

format::DiffSessions DiffSource::sessions() {
  format::DiffSessions out;
  for (; next_session_ < sessions_.size() && out.sessions.size() < kSessionsAtOnce; ++next_session_)
    out.sessions.push_back({sessions_[next_session_].session, sessions_[next_session_].requests});
  end_.counts.sessions += out.sessions.size();
  return out;
}

}  // namespace square::store
