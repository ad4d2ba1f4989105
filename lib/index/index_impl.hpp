#pragma once
// The index from inside. Memory holds what every operation needs: positions, snapshots,
// written-maps, session windows, segment counters. A change edits memory and a Batch together; when
// anything of it fails, memory is ahead of the Kv and the index refuses everything from then on
// (`broken`).

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "index/batch.hpp"
#include "index/index.hpp"
#include "index/state_tree.hpp"
#include "index/written_map.hpp"

namespace square::index {

struct GroupState {
  Applied applied;
  std::vector<SnapshotInfo> snapshots;  // ascending; hidden ones stay until they are merged
  std::map<VolumeId, WrittenMap> written;
  std::map<SessionId, format::SessionRow> sessions;
  std::set<VolumeId> purges;  // logged, not finished
  std::optional<format::LandingRow> landing;
  StateRoots roots;  // a cache: empty after a start
};

class Index::Impl {
 public:
  explicit Impl(std::unique_ptr<Kv> store) : kv(std::move(store)) {}
  Result<> load();
  Result<> load_row(Bytes key, Bytes value);

  // Runs `edit` on a batch and commits it; see `broken`.
  template <class Edit>
  Result<> change(const Edit& edit) {
    if (broken) return *broken;
    Batch batch(*kv);
    Result<> done = edit(batch);
    if (done.ok()) done = commit(batch);
    if (!done.ok()) broken = done.error();
    return done;
  }
  Result<> commit(Batch& batch);

  // ---- index.cpp: operations in order
  Result<> apply_one(Batch& batch, const format::Operation& operation);
  void set_point(Batch& batch, std::uint16_t lane, const format::LanePoint& point);
  void note_request(Batch& batch, const format::Operation& operation, GroupState& group);
  void put_applied(Batch& batch, GroupId id, const GroupState& group);

  // ---- present.cpp
  Result<> write(Batch& batch, const format::Operation& operation);
  Result<> hole(Batch& batch, GroupId id, VolumeId volume, std::uint64_t from, std::uint64_t end,
                Sequence sequence);
  Result<> rewrite(Batch& batch, const format::Operation& operation);
  Result<> map_range(Batch& batch, GroupId id, VolumeId volume, const Range& range);
  Result<std::set<std::uint64_t>> claim_units(Batch& batch, GroupId id, VolumeId volume,
                                              std::uint64_t from, std::uint64_t to);
  // As of snapshots[first], or the present when there is none; covers [from, to).
  Result<std::vector<Piece>> content(Batch& view, GroupId id, VolumeId volume, std::size_t first,
                                     std::uint64_t from, std::uint64_t to);
  Result<> fill_unmapped(GroupId id, VolumeId volume, std::uint64_t from, std::uint64_t to,
                         std::vector<Piece>& pieces) const;
  Result<> purge_some(Batch& batch, GroupId id, VolumeId volume, std::size_t entries_max,
                      bool& more);

  // ---- history.cpp
  Result<> save(Batch& batch, GroupId id, VolumeId volume, const Range& old);
  void mark(Batch& batch, GroupId id, SnapshotInfo snapshot);
  void hide(Batch& batch, GroupId id, SnapshotInfo& snapshot);
  void drop(Batch& batch, const format::Operation& operation);
  Result<> merge_some(Batch& batch, GroupId id, std::size_t entries_max);
  Result<std::size_t> merge_ranges(Batch& batch, GroupId id, std::size_t hidden, std::size_t max);
  Result<std::size_t> merge_records(Batch& batch, GroupId id, std::size_t hidden, std::size_t max);
  // The place of that snapshot in `snapshots`; its size for the present. Errors: kNotFound.
  Result<std::size_t> position_of(GroupId id, std::optional<Sequence> at) const;

  // ---- records.cpp
  // Nothing: it is deleted.
  Result<> set_record(Batch& batch, GroupId id, const std::string& key,
                      std::optional<ByteVector> value);
  Result<std::optional<ByteVector>> record_at(Batch& view, GroupId id, std::string_view key,
                                              std::size_t first);
  Result<bool> named_somewhere(Batch& view, GroupId id, VolumeId volume);

  // ---- state_root.cpp
  Result<> compute_leaf(Batch& view, GroupId id, std::size_t target, VolumeId volume,
                        std::uint64_t number);

  // ---- diff_state.cpp
  void save_sessions(Batch& batch, GroupId id, Sequence mark);
  Result<std::vector<SessionWindow>> kept_sessions(Batch& view, GroupId id, Sequence at);
  void note_rewritten(Batch& batch, const format::Operation& operation, VolumeId volume,
                      std::uint64_t from, std::uint64_t to);
  static Result<> erase_meta(Batch& batch, const std::string& prefix);

  // ---- landing.cpp
  void put_landing(Batch& batch, GroupId id, std::optional<format::LandingRow> row);
  Result<> land_item(Batch& batch, GroupId id, const format::DiffItem& item);
  Result<> clear_some(Batch& batch, GroupId id, std::size_t entries_max);
  Result<> revert_some(Batch& batch, GroupId id, std::size_t entries_max);
  Result<bool> revert_ranges(Batch& batch, GroupId id, std::size_t entries_max);
  Result<bool> revert_records(Batch& batch, GroupId id, std::size_t entries_max);
  Result<bool> empty_present(Batch& batch, GroupId id, std::size_t entries_max);
  void set_sessions(Batch& batch, GroupId id, std::map<SessionId, format::SessionRow> sessions);
  void put_purge(Batch& batch, GroupId id, VolumeId volume);
  Result<> purge_unnamed(Batch& batch, GroupId id);

  // ---- segments.cpp
  Result<> add_stripes(Batch& batch, std::span<const format::StripeDescriptor> stripes);
  Result<bool> move_extent(Batch& batch, const format::MovedExtent& moved);
  Result<> put_counters(Batch& batch);
  Result<> drop_stripes(Batch& batch, const std::string& prefix);
  Result<> find_live(Batch& view, const format::StripeDescriptor& stripe,
                     const format::StripeExtent& extent, std::vector<format::MovedExtent>& live);

  const GroupState* find_group(GroupId id) const {
    const auto found = groups.find(id);
    return found == groups.end() ? nullptr : &found->second;
  }

  std::unique_ptr<Kv> kv;
  std::map<GroupId, GroupState> groups;
  std::map<std::uint16_t, format::LanePoint> lanes;
  format::CheckpointId checkpoint;
  std::map<SegmentKey, format::SegmentRow> segments;
  std::set<SegmentKey> dead;  // of these, the ones without live bytes
  std::optional<Error> broken;
};

}  // namespace square::index
