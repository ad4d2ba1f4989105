#include "store/diff_receiver.hpp"

#include <algorithm>
#include <map>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "codec/extent_header.hpp"
#include "format/store_records.hpp"
#include "store/local_leg.hpp"

namespace square::store {

using format::DiffBase;
using format::SnapshotId;
using Phase = format::LandingRow::Phase;

namespace {

constexpr std::size_t kStepEntries = 1000;
constexpr std::size_t kRootLeavesAtOnce = 64;
constexpr std::size_t kSessionsTaken = 65536;

Error not_asked_for() {
  return {Code::kInvalid, "diff: these pieces are not of the stream that was asked for"};
}

bool is_among(const SnapshotId& id, const std::vector<SnapshotId>& offered) {
  return std::ranges::find(offered, id) != offered.end();
}

// What this release cannot read it must not hold: it could not open itself again.
Result<> check_known(const format::DiffRecord& record) {
  if (!record.value) return {};
  if (record.key == format::kGroupKey) {
    SQ_TRY(const auto group, format::decode_group_record(*record.value));
    if (group.level > format::kFeatureLevel)
      return Error{Code::kUnsupported,
                   "the source's group has feature level " + std::to_string(group.level) +
                       "; this release knows up to " + std::to_string(format::kFeatureLevel)};
  } else if (record.key.starts_with(format::kVolumePrefix)) {
    SQ_TRY(format::key_number(record.key, format::kVolumePrefix));
    SQ_TRY(format::decode_volume_record(*record.value));
  } else if (record.key.starts_with(format::kSealPrefix)) {
    SQ_TRY(format::key_number(record.key, format::kSealPrefix));
    SQ_TRY(format::decode_seal_record(*record.value));
  }
  return {};
}

pool::StripeItem stripe_item(GroupId group, const format::DiffExtent& one) {
  pool::StripeItem item;
  item.bytes.push_back(Buffer::copy_of(one.stored));
  const auto& extent = one.extent;
  item.extent = {group,     one.volume, one.offset, extent.plain_bytes, extent.stored_bytes,
                 extent.id, 0};
  return item;
}

}  // namespace

DiffReceiver::DiffReceiver(Core& core, GroupId group, std::function<Async<>()> checkpoint)
    : core_(core), group_(group), checkpoint_(std::move(checkpoint)), mutex_(core.env.loop) {}

// ---- where to begin

std::optional<SnapshotId> DiffReceiver::newest_held() const {
  const auto held = core_.index->snapshots(group_);
  return held.empty() ? std::nullopt : std::optional(held.back().id);
}

bool DiffReceiver::holds(const SnapshotId& id) const {
  const auto held = core_.index->snapshots(group_);
  return std::ranges::any_of(held, [&id](const auto& one) { return one.id == id; });
}

// The newest snapshot that both have; what is newer here has no place in the target's past.
// Nothing: they have no past in common.
Result<std::optional<DiffBase>> DiffReceiver::common_base(const SnapshotId& target,
                                                          const std::vector<SnapshotId>& offered,
                                                          DropForks may_drop) const {
  std::optional<DiffBase> base;
  std::optional<Sequence> newest;
  for (const auto& one : core_.index->snapshots(group_)) {
    newest = one.id.sequence;
    if (!is_among(one.id, offered)) continue;
    if (newest >= target.sequence)
      return Error{Code::kConflict, "a snapshot is held here that is newer than the diff's target"};
    base = DiffBase{one.id, std::max(one.rewrites.value_or(Sequence()), one.id.sequence)};
  }
  if (base && newest > base->snapshot.sequence && may_drop == DropForks::kNo)
    return Error{Code::kConflict,
                 "the source of the diff does not know the snapshot " +
                     std::to_string(group_.value) + "-" + std::to_string(newest->value) +
                     " that is held here: the two have different pasts since snapshot " +
                     std::to_string(base->snapshot.sequence.value)};
  return base;
}

bool DiffReceiver::goes_on(const Row& row, const SnapshotId& target,
                           const std::vector<SnapshotId>& offered) const {
  return row.phase != Phase::kReverting && row.target == target &&
         (!row.base || is_among(row.base->snapshot, offered));
}

// Only what survives the loss of the local index is named to others.
Async<> DiffReceiver::make_durable() {
  if (durable_) co_return {};
  SQ_CO_TRY(co_await checkpoint_());
  durable_ = true;
  co_return {};
}

Async<> DiffReceiver::revert(std::optional<SnapshotId> to) {
  SQ_PROBE("a diff that did not arrive was reverted");
  SQ_CO_TRY(core_.index->begin_revert(group_, to));
  while (true) {
    SQ_CO_TRY(const bool more, core_.index->revert_step(group_, kStepEntries));
    core_.work.set();
    if (!more) break;
    co_await env::yield(core_.env.loop);
    SQ_CO_TRY(core_.alive());
  }
  co_return {};
}

Async<> DiffReceiver::clear() {
  while (true) {
    SQ_CO_TRY(const bool more, core_.index->clear_step(group_, kStepEntries));
    if (!more) co_return {};
    co_await env::yield(core_.env.loop);
    SQ_CO_TRY(core_.alive());
  }
}

Async<std::optional<format::DiffHeader>> DiffReceiver::begin(SnapshotId target,
                                                             std::vector<SnapshotId> offered,
                                                             DropForks may_drop) {
  const auto lock = co_await mutex_.lock();
  SQ_CO_TRY(core_.alive());
  wanted_.reset();
  SQ_CO_TRY(co_await make_durable());
  if (holds(target)) co_return std::optional<format::DiffHeader>();
  if (!is_among(target, offered))
    co_return Error{Code::kNotFound, "the source of the diff does not hold its target"};

  auto row = core_.index->landing(group_);
  SQ_CO_TRY(auto base, common_base(target, offered, may_drop));
  if (!row || !goes_on(*row, target, offered)) {
    auto newest = newest_held();
    // Without a common past the snapshots here stay, and the present becomes nothing first.
    const auto to = base ? std::optional(base->snapshot) : newest;
    const auto applied = core_.index->applied(group_).sequence;
    const bool there =
        !row && newest == to && (to ? applied == to->sequence : applied == Sequence());
    if (!there && !SQ_PLANTED("forked_diff_kept")) SQ_CO_TRY(co_await revert(to));
    newest = newest_held();
    if (base && unfit_base_ == base->snapshot) base.reset();
    if (!base && newest && newest->sequence >= target.sequence)
      co_return Error{Code::kConflict,
                      "snapshots are held here that are newer than the target of "
                      "the diff, and of another past"};
    SQ_CO_TRY(core_.index->begin_landing(group_, base, target));
    row = core_.index->landing(group_);
  }
  SQ_CO_TRY(co_await clear());
  wanted_ = format::DiffHeader{core_.options.pool.cell, group_, row->base, target, row->cursor,
                               row->came_with};
  begun_ = false;
  may_have_ = row->cursor != format::DiffCursor{} || !row->base;
  sessions_.clear();
  co_return wanted_;
}

// ---- pieces

Async<> DiffReceiver::take(format::DiffPiece piece) {
  const auto lock = co_await mutex_.lock();
  SQ_CO_TRY(core_.alive());
  if (!wanted_ || !landing().ok() || begun_ == std::holds_alternative<format::DiffHeader>(piece))
    co_return not_asked_for();
  auto taken =
      co_await std::visit([this](auto& one) -> Async<> { return take_one(std::move(one)); }, piece);
  if (!taken.ok() && taken.code() != Code::kNoSpace) wanted_.reset();
  co_return taken;
}

Async<> DiffReceiver::take_one(format::DiffHeader header) {
  auto expected = *wanted_;
  expected.came_with = header.came_with;
  if (header.cursor == format::DiffCursor{}) expected.cursor = {};
  if (header != expected) co_return not_asked_for();
  // A source that has the target from a diff knows of no rewrite that others have sent.
  const bool from_diff = header.came_with != Sequence();
  const auto before = wanted_->came_with;
  if (from_diff && before != Sequence() && before != header.came_with &&
      !SQ_PLANTED("diff_mixes_rewrites")) {
    SQ_PROBE("a diff began anew: another source has other rewrites");
    SQ_CO_TRY(const auto row, landing());
    SQ_CO_TRY(co_await revert(row.base ? std::optional(row.base->snapshot) : newest_held()));
    SQ_CO_TRY(core_.index->begin_landing(group_, row.base, row.target));
    SQ_CO_TRY(co_await clear());
  }
  begun_ = true;
  co_return core_.index->begin_stream(group_, header.cursor,
                                      from_diff ? header.came_with : format::kCameWithSeveral);
}

Result<DiffReceiver::Row> DiffReceiver::landing() const {
  const auto row = core_.index->landing(group_);
  if (row && row->phase == Phase::kItems && row->target == wanted_->target) return *row;
  return not_asked_for();
}

// The cleaner finds an extent's mappings at its own address, and nowhere else.
Result<> DiffReceiver::find_places(const std::vector<Came>& came,
                                   std::vector<format::DiffItem>& items) const {
  std::map<format::ExtentId, const Came*> by_id;
  for (const auto& one : came) by_id[one.extent.id] = &one;
  for (auto& item : items) {
    if (item.mapping.hole) continue;
    auto& extent = item.mapping.extent;
    const auto inside = item.mapping.extent_offset;
    if (inside > item.offset)
      return Error{Code::kCorrupt, "diff: an extent that would begin in front of its volume"};
    const auto home = item.offset - inside;
    if (const auto found = by_id.find(extent.id); found != by_id.end()) {
      const auto& one = *found->second;
      if (one.extent != extent || one.volume != item.volume || one.offset != home)
        return Error{Code::kCorrupt, "diff: an item names another extent than the one that came"};
      extent.place = one.place;
      continue;
    }
    SQ_TRY(const auto here, core_.index->find_extent(group_, item.volume, home, extent));
    if (!here) return Error{Code::kCorrupt, "diff: an extent is named that never came"};
    extent.place = *here;
  }
  return {};
}

// Extents that are here already, because another source has sent them, keep their place.
Async<> DiffReceiver::take_one(format::DiffItems items) {
  std::vector<pool::StripeItem> fresh;
  std::vector<Came> came;
  std::uint64_t bytes = 0;
  for (const auto& one : items.extents) {
    SQ_CO_TRY(codec::verify_stored(one.stored, one.extent).context("diff: an extent that came"));
    std::optional<format::Place> here;
    if (may_have_ || items.again) {
      SQ_CO_TRY(here, core_.index->find_extent(group_, one.volume, one.offset, one.extent));
    }
    if (here) {
      SQ_PROBE("an extent of a diff was here already");
      continue;
    }
    came.push_back({one.volume, one.offset, one.extent, {}});
    fresh.push_back(stripe_item(group_, one));
    bytes += one.stored.size();
  }
  items.extents.clear();
  PlacedItems placed;
  if (!fresh.empty()) {
    SQ_CO_TRY(placed, co_await place_items(*core_.pool, pool::StripeClass::kFresh, std::move(fresh),
                                           kStripeAttempts));
  }
  for (std::size_t i = 0; i < came.size(); ++i) came[i].place = placed.places[i];

  // From here on nothing else runs until the index has it.
  auto landed = core_.alive();
  if (landed.ok() && !landing().ok()) landed = not_asked_for();
  if (landed.ok()) landed = find_places(came, items.items);
  if (!landed.ok()) {
    for (const auto& stripe : placed.stripes) core_.pool->forget_stripe(stripe);
    co_return landed;
  }
  std::optional<format::DiffCursor> cursor;
  if (!items.again && !items.items.empty())
    cursor = {items.items.back().volume, items.items.back().offset + items.items.back().length};
  SQ_CO_TRY(core_.index->land(group_, items.items, placed.stripes, cursor));
  for (const auto& stripe : placed.stripes) core_.pool->stripe_is_indexed(stripe);
  core_.stats.received_items += items.items.size();
  core_.stats.received_bytes += bytes;
  core_.work.set();
  co_return {};
}

Async<> DiffReceiver::take_one(format::DiffRecords records) {
  SQ_CO_TRY(landing());
  for (const auto& record : records.records)
    SQ_CO_TRY(check_known(record).context("diff: record " + record.key));
  co_return core_.index->land_records(group_, records.records);
}

Async<> DiffReceiver::take_one(format::DiffSessions sessions) {
  if (sessions_.size() + sessions.sessions.size() > kSessionsTaken)
    co_return Error{Code::kInvalid, "diff: more sessions than any store has"};
  std::ranges::move(sessions.sessions, std::back_inserter(sessions_));
  co_return {};
}

Async<> DiffReceiver::take_one(format::DiffSnapshots snapshots) {
  for (const auto& one : snapshots.snapshots)
    if (one.id == wanted_->target) wall_ns_ = one.wall_ns;
  co_return {};
}

Async<format::StateHash> DiffReceiver::root() {
  while (true) {
    SQ_CO_TRY(core_.alive());
    SQ_CO_TRY(landing());
    SQ_CO_TRY(const auto root,
              core_.index->state_root_step(group_, wanted_->target.sequence, kRootLeavesAtOnce));
    if (root) co_return *root;
    co_await env::yield(core_.env.loop);
  }
}

// The way back is taken at the next begin: whoever asks then says what there is.
Async<> DiffReceiver::take_one(format::DiffEnd end) {
  SQ_CO_TRY(const auto here, co_await root());
  SQ_CO_TRY(const auto row, landing());
  if (here != end.root) {
    SQ_PROBE("a diff arrived and was not what its source has");
    std::optional<SnapshotId> to = newest_held();
    if (row.base) to = row.base->snapshot;
    if (row.base) unfit_base_ = row.base->snapshot;
    SQ_CO_TRY(core_.index->begin_revert(group_, to));
    co_return Error{Code::kCorrupt,
                    "diff: what has arrived has another state root than the "
                    "source's snapshot at sequence " +
                        std::to_string(row.target.sequence.value)};
  }
  durable_ = false;
  unfit_base_.reset();
  SQ_CO_TRY(core_.index->finish_landing(group_, sessions_, wall_ns_, end.rewrites));
  wanted_.reset();
  sessions_.clear();
  co_return co_await make_durable();
}

}  // namespace square::store
