#include "index/index.hpp"

#include <algorithm>

#include "index/index_impl.hpp"

namespace square::index {

using format::MetaKey;
using format::OperationType;

// ---- opening

Result<> Index::Impl::load() {
  Batch view(*kv);
  const auto version_key = format::encode(MetaKey{});
  SQ_TRY(const auto version, kv->get(Family::kMeta, as_bytes(version_key)));
  if (!version) {
    bool empty = true;
    SQ_TRY(view.walk(Family::kMeta, "", "",
                     [&](Bytes, Bytes) -> Result<bool> { return empty = false; }));
    if (!empty) return Error{Code::kCorrupt, "index: no version"};
    return change([&](Batch& batch) -> Result<> {
      ByteVector value;
      Writer(value).put(format::kIndexVersion);
      batch.put(Family::kMeta, version_key, std::move(value));
      return {};
    });
  }
  Reader in(*version);
  const auto number = in.get<std::uint32_t>();
  if (!in.finished()) return Error{Code::kCorrupt, "index: cannot decode the version"};
  if (number != format::kIndexVersion)
    return Error{Code::kUnsupported, "index: format " + std::to_string(number) + ", known is " +
                                         std::to_string(format::kIndexVersion)};
  SQ_TRY(view.walk(Family::kMeta, "", "", [&](Bytes key, Bytes value) -> Result<bool> {
    SQ_TRY(load_row(key, value));
    return true;
  }));
  return view.walk(Family::kSegments, "", "", [&](Bytes key, Bytes value) -> Result<bool> {
    SQ_TRY(const auto segment, format::parse_segment_key(key));
    const SegmentKey known{segment.first, segment.second};
    SQ_TRY(segments[known], format::decode_segment_row(value));
    if (segments[known].live_bytes == 0) dead.insert(known);
    return true;
  });
}

Result<> Index::Impl::load_row(Bytes key, Bytes value) {
  SQ_TRY(const auto meta, format::decode_meta_key(key));
  switch (meta.kind) {
    case MetaKey::Kind::kVersion: break;
    case MetaKey::Kind::kApplied: {
      SQ_TRY(const auto row, format::decode_applied_row(value));
      groups[meta.group].applied = {row.sequence, row.chain};
      break;
    }
    case MetaKey::Kind::kLane: {
      const auto lane = static_cast<std::uint16_t>(meta.group.value);
      SQ_TRY(lanes[lane], format::decode_lane_point(value));
      break;
    }
    case MetaKey::Kind::kSnapshot: {
      SQ_TRY(const auto row, format::decode_snapshot_row(value));
      groups[meta.group].snapshots.push_back({row.id, row.wall_ns, row.hidden, row.rewrites});
      break;
    }
    case MetaKey::Kind::kWritten: {
      auto& written = groups[meta.group].written[VolumeId(meta.first)];
      SQ_TRY(written.pages[meta.second], format::decode_written_page(value));
      break;
    }
    case MetaKey::Kind::kSession: {
      auto& sessions = groups[meta.group].sessions;
      SQ_TRY(sessions[SessionId(meta.first)], format::decode_session_row(value));
      break;
    }
    case MetaKey::Kind::kCheckpoint: {
      SQ_TRY(checkpoint, format::decode_checkpoint_id(value));
      break;
    }
    case MetaKey::Kind::kLanding: {
      SQ_TRY(groups[meta.group].landing, format::decode_landing_row(value));
      break;
    }
    case MetaKey::Kind::kSessionAt:
    case MetaKey::Kind::kRewritten: break;  // looked up where they lie
    case MetaKey::Kind::kPurge: groups[meta.group].purges.insert(VolumeId(meta.first)); break;
  }
  return {};
}

// ---- changes

Result<> Index::Impl::commit(Batch& batch) {
  SQ_TRY(put_counters(batch));
  for (const auto& [group, volume, number] : batch.dirty_pages) {
    const MetaKey key{MetaKey::Kind::kWritten, group, volume.value, number};
    const auto& written = groups[group].written[volume];
    const auto page = written.pages.find(number);
    if (page != written.pages.end())
      batch.put(Family::kMeta, encode(key), format::encode(page->second));
    else
      batch.erase(Family::kMeta, encode(key));
  }
  for (const auto& [group, session] : batch.dirty_sessions) {
    const MetaKey key{MetaKey::Kind::kSession, group, session.value, 0};
    const auto& sessions = groups[group].sessions;
    const auto row = sessions.find(session);
    if (row != sessions.end())
      batch.put(Family::kMeta, encode(key), format::encode(row->second));
    else
      batch.erase(Family::kMeta, encode(key));
  }
  return batch.write();
}

void Index::Impl::set_point(Batch& batch, std::uint16_t lane, const format::LanePoint& point) {
  lanes[lane] = point;
  batch.put(Family::kMeta, encode(MetaKey{MetaKey::Kind::kLane, GroupId(lane), 0, 0}),
            format::encode(point));
}

void Index::Impl::put_applied(Batch& batch, GroupId id, const GroupState& group) {
  batch.put(Family::kMeta, encode(MetaKey{MetaKey::Kind::kApplied, id, 0, 0}),
            format::encode(format::AppliedRow{group.applied.sequence, group.applied.chain}));
}

void Index::Impl::note_request(Batch& batch, const format::Operation& operation,
                               GroupState& group) {
  if (operation.session == SessionId()) return;
  group.sessions[operation.session].add(operation.request);
  batch.dirty_sessions.insert({operation.group, operation.session});
}

Result<> Index::Impl::apply_one(Batch& batch, const format::Operation& operation) {
  auto& group = groups[operation.group];
  SQ_CHECK(operation.sequence == group.applied.sequence.next(), "not the group's next operation");
  SQ_CHECK(!group.landing, "an operation while a diff is applied");
  switch (operation.type) {
    case OperationType::kWrite: SQ_TRY(write(batch, operation)); break;
    case OperationType::kHole: {
      const auto& body = std::get<format::HoleBody>(operation.body);
      SQ_TRY(hole(batch, operation.group, body.volume, body.offset, body.offset + body.length,
                  operation.sequence));
      break;
    }
    case OperationType::kRewrite: SQ_TRY(rewrite(batch, operation)); break;
    case OperationType::kPutRecord: {
      const auto& body = std::get<format::RecordBody>(operation.body);
      SQ_TRY(set_record(batch, operation.group, body.key, body.value));
      break;
    }
    case OperationType::kDeleteRecord:
      SQ_TRY(set_record(batch, operation.group, std::get<format::RecordBody>(operation.body).key,
                        std::nullopt));
      break;
    case OperationType::kSnapshotMark:
      mark(batch, operation.group, {operation.snapshot_id(), operation.wall_ns});
      break;
    case OperationType::kDropSnapshot: drop(batch, operation); break;
    case OperationType::kPurgeVolume:
      put_purge(batch, operation.group, std::get<format::PurgeBody>(operation.body).volume);
      break;
    case OperationType::kSessionEnd: {
      const auto session = std::get<format::SessionEndBody>(operation.body).session;
      group.sessions.erase(session);
      batch.dirty_sessions.insert({operation.group, session});
      break;
    }
    case OperationType::kTermMark:
    case OperationType::kVoid: break;
  }
  if (operation.type != OperationType::kSessionEnd) note_request(batch, operation, group);
  if (operation.type == OperationType::kSnapshotMark)
    save_sessions(batch, operation.group, operation.sequence);
  group.applied = {operation.sequence, operation.chain};
  return {};
}

// ---- the public face

Index::Index(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Index::~Index() = default;

Result<std::unique_ptr<Index>> Index::open(std::unique_ptr<Kv> kv) {
  auto impl = std::make_unique<Impl>(std::move(kv));
  SQ_TRY(impl->load());
  return std::unique_ptr<Index>(new Index(std::move(impl)));
}

Kv& Index::kv() { return *impl_->kv; }

Applied Index::applied(GroupId group) const {
  const auto* state = impl_->find_group(group);
  return state ? state->applied : Applied{};
}

std::vector<GroupId> Index::groups() const {
  std::vector<GroupId> ids;
  for (const auto& [id, state] : impl_->groups)
    if (state.applied.sequence != Sequence() || state.landing) ids.push_back(id);
  return ids;
}

format::LanePoint Index::lane_point(std::uint16_t lane) const {
  const auto found = impl_->lanes.find(lane);
  return found == impl_->lanes.end() ? format::LanePoint{} : found->second;
}

Result<> Index::apply(std::span<const format::Operation> operations,
                      std::span<const format::StripeDescriptor> stripes,
                      std::optional<std::pair<std::uint16_t, format::LanePoint>> point) {
  return impl_->change([&](Batch& batch) -> Result<> {
    SQ_TRY(impl_->add_stripes(batch, stripes));
    for (const auto& operation : operations) SQ_TRY(impl_->apply_one(batch, operation));
    std::set<GroupId> touched;
    for (const auto& operation : operations) touched.insert(operation.group);
    for (const auto id : touched) impl_->put_applied(batch, id, impl_->groups[id]);
    if (point) impl_->set_point(batch, point->first, point->second);
    return {};
  });
}

namespace {

bool holds(const format::StripeDescriptor& stripe, const format::Place& place) {
  return stripe.segment == place.segment && stripe.generation == place.generation &&
         stripe.stripe_block == place.stripe_block;
}

}  // namespace

Result<> Index::apply_move(const format::MoveRecord& move,
                           std::optional<std::pair<std::uint16_t, format::LanePoint>> point) {
  return impl_->change([&](Batch& batch) -> Result<> {
    // Only stripes that something lies in now: a move that is replayed after its segment was freed
    // must not bring an old use of it back.
    std::vector<format::StripeDescriptor> used;
    for (const auto& moved : move.extents) {
      SQ_TRY(const bool changed, impl_->move_extent(batch, moved));
      if (!changed) continue;
      for (const auto& stripe : move.stripes)
        if (holds(stripe, moved.to) && (used.empty() || used.back() != stripe))
          used.push_back(stripe);
    }
    SQ_TRY(impl_->add_stripes(batch, used));
    if (point) impl_->set_point(batch, point->first, point->second);
    return {};
  });
}

format::CheckpointId Index::checkpoint() const { return impl_->checkpoint; }

Result<> Index::set_checkpoint(format::CheckpointId id, std::uint16_t lane,
                               format::LanePoint point) {
  return impl_->change([&](Batch& batch) -> Result<> {
    impl_->checkpoint = id;
    batch.put(Family::kMeta, encode(MetaKey{MetaKey::Kind::kCheckpoint, {}, 0, 0}),
              format::encode(id));
    impl_->set_point(batch, lane, point);
    return {};
  });
}

Result<std::vector<Piece>> Index::lookup(GroupId group, VolumeId volume, std::uint64_t offset,
                                         std::uint64_t length, std::optional<Sequence> at) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(const auto first, impl_->position_of(group, at));
  Batch view(*impl_->kv);
  return impl_->content(view, group, volume, first, offset, offset + length);
}

std::vector<SessionWindow> Index::sessions(GroupId group) const {
  std::vector<SessionWindow> windows;
  if (const auto* state = impl_->find_group(group)) {
    for (const auto& [id, row] : state->sessions) windows.push_back({id, row});
  }
  return windows;
}

}  // namespace square::index
