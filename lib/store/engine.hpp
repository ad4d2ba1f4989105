#pragma once
// One storage server's engine on one loop: groups of volumes over one lane, one pool, one index.
//
// What an acknowledgement means (one leg; the mirror adds the second): when write(), zero(),
// trim(), or any change of a volume or snapshot returns ok, it is flushed so that any m further
// disks may go, it is visible to every later read, and it stays so after any crash. An error other
// than kOutcomeUnknown means that it was not done and never will be.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/activity.hpp"
#include "codec/key_store.hpp"
#include "env/env.hpp"
#include "index/index.hpp"
#include "pool/pool.hpp"

namespace square::store {

struct EngineOptions {
  pool::OpenOptions pool;
  std::uint64_t write_buffer_bytes = 64u << 20;  // stored bytes acknowledged and not yet destaged
  std::uint32_t direct_bytes_min = 256u
                                   << 10;  // an operation of this size gets a stripe of its own
  std::uint32_t groups = 1;                // made at first start; ids 1...
  std::uint8_t frame_shift = 14;           // frames of 16 KiB
  env::Duration checkpoint_interval = std::chrono::seconds(60);
  // A write that finds no room waits for the cleaner as long as that gains something, at most:
  env::Duration room_wait_max = std::chrono::seconds(30);
  ActivitiesPtr activities = std::make_shared<Activities>();   // what it is in the middle of
  env::Duration undelete_window = std::chrono::hours(7 * 24);  // then a deleted volume is purged
  // Between two looks at all extents for those of which little is visible; sealed anew per second.
  env::Duration rewrite_interval = std::chrono::minutes(10);
  std::uint64_t rewrite_bytes_per_s = 4u << 20;
  // It takes snapshots as diffs from another store, and no operations: none of its own either.
  bool receives = false;
};

// May snapshots go that a source of diffs does not know?
enum class DropForks : bool { kNo, kYes };

enum class VolumeState : std::uint8_t { kReady, kDeleted };

struct VolumeInfo {
  VolumeId id;
  std::string name;
  TenantId tenant;
  GroupId group;
  std::uint64_t size_bytes = 0;
  std::uint64_t used_bytes = 0;  // mapped to content in the present
  std::uint32_t extent_bytes = 64u << 10;
  VolumeState state = VolumeState::kReady;
  std::int64_t purge_wall_ns = 0;  // of a deleted one: undelete works at least until then
};

struct CreateVolume {
  std::string name;                        // [a-zA-Z0-9][a-zA-Z0-9._-]{0,127}
  std::uint64_t size_bytes = 0;            // multiple of 4 KiB, up to 256 TiB
  std::uint32_t extent_bytes = 64u << 10;  // power of two, 4 KiB to 1 MiB
  TenantId tenant{1};
  GroupId group{1};
};

struct SnapshotView {
  std::string id;  // "<group>-<sequence>", for people and commands
  std::string name;
  format::SnapshotId snapshot;
  GroupId group;
  std::int64_t wall_ns = 0;
  std::vector<std::string> volumes;  // as they were named then
};

// Who asks: a retry with the same pair is answered from the session table, never done twice.
struct RequestId {
  SessionId session;  // 0: not retryable
  RequestNumber number;
};

struct Extents {  // block status
  std::uint64_t offset = 0, length = 0;
  bool hole = false;
};

// What more than m lost strips have taken. Bytes of content, by volume, and the ranges one by one
// up to a limit; everything else reads as before.
struct LostRange {
  VolumeId volume;
  std::string snapshot;  // empty: the present
  std::uint64_t offset = 0, length = 0;
};
struct LostVolume {
  VolumeId volume;
  std::string name;
  std::uint64_t ranges = 0, bytes = 0;
};
struct Losses {
  std::vector<LostVolume> volumes;  // all of them
  std::vector<LostRange> ranges;    // as many as were asked for
};

struct ReadReply {
  Buffer data;
};

struct EngineStats {
  pool::PoolStatus pool;
  journal::Lane::Stats lane;
  std::uint64_t lane_used_bytes = 0, lane_ring_bytes = 0;
  std::uint64_t writes = 0, written_bytes = 0, reads = 0, read_bytes = 0, holes = 0;
  std::uint64_t parts_unproven = 0;  // of extents: then read whole, and repaired where it was rot
  std::uint64_t direct_writes = 0, destages = 0, checkpoints = 0, moved_bytes = 0;
  std::uint64_t rewritten_bytes = 0;                     // content that was sealed anew
  std::uint64_t received_items = 0, received_bytes = 0;  // of diffs: ranges set, bytes placed
  std::uint64_t write_buffer_bytes = 0, write_buffer_bytes_max = 0;
  std::size_t write_buffer_waiting = 0;                          // writes that wait for room in it
  std::size_t room_waiting = 0;                                  // writes that wait for the cleaner
  std::array<std::uint32_t, kActivityNames.size()> in_flight{};  // by Activity
  std::uint64_t index_memory_bytes = 0;
  std::uint64_t recovered_operations = 0;  // replayed from the journal at start
  bool index_from_pool = false;            // the local index was unusable at start
  double start_seconds = 0;
};

struct GroupStatus {
  GroupId id;
  std::uint32_t epoch = 0;
  Sequence sequence;  // everything up to it is acknowledged, or will be found done
};

// What send_diff() gives; dies before its engine.
class DiffStream {
 public:
  virtual ~DiffStream() = default;
  // The next piece; nothing behind the end. Errors: kNotFound when an end is not held under exactly
  // that name, kDataLoss, kUnavailable, kIo. After an error the stream is over; another one goes on
  // where its pieces ended, from here or from another store.
  virtual Async<std::optional<format::DiffPiece>> next() = 0;
};

class Engine {
 public:
  // Formats nothing: see pool::Pool::format. Recovers: checkpoint + journal, then a term mark. On
  // return the engine serves. Errors: as Pool::open and Lane::recover; kCorrupt, kUnsupported.
  static Async<std::unique_ptr<Engine>> open(env::Env env, EngineOptions options,
                                             index::KvFactory& index_files, codec::KeyStore& keys);
  ~Engine();

  // ---- volumes
  // Errors: kInvalid, kExists, kNoSpace.
  Async<VolumeInfo> create_volume(CreateVolume request);
  Async<std::vector<VolumeInfo>> list_volumes(bool deleted_too);
  Async<VolumeInfo> find_volume(std::string name);
  // Up only. Errors: kNotFound, kInvalid.
  Async<VolumeInfo> resize_volume(std::string name, std::uint64_t size_bytes);
  // The name is free again; undelete brings it back until its purge. Errors: kNotFound, kExists.
  Async<VolumeInfo> delete_volume(std::string name);
  Async<VolumeInfo> undelete_volume(std::string name);
  // The deleted volumes of that name are gone for good when it returns; their space follows, except
  // what held snapshots name. Ids are never used again. Errors: kNotFound, kConflict (not deleted).
  Async<> purge_volume(std::string name);

  // ---- data. Offsets and lengths in units of 512 bytes, inside the volume: else kInvalid.
  // `ingest`: XXH3-64 of each part of `data` cut at 4 KiB boundaries of the volume, made where the
  // data came from. Up to 1 MiB. Waits when the pool is full and cleaning can make room. Errors:
  // kCorrupt (ingest hash), kNoSpace, kNotFound, kBusy, kOutcomeUnknown.
  Async<> write(VolumeId volume, std::uint64_t offset, Buffer data,
                std::vector<std::uint64_t> ingest, RequestId request = {});
  // Linearizable; `at` reads a snapshot. Errors: kNotFound, kDataLoss (names the range), kCorrupt.
  Async<ReadReply> read(VolumeId volume, std::uint64_t offset, std::uint32_t length,
                        std::optional<std::string> snapshot = std::nullopt);
  // Reads as zeros afterwards; space comes back for whole 4 KiB blocks. Any length.
  Async<> zero(VolumeId volume, std::uint64_t offset, std::uint64_t length, RequestId request = {});
  // Touching ranges of the same kind are merged; at most `count_max`, from `offset` on.
  Async<std::vector<Extents>> block_status(VolumeId volume, std::uint64_t offset,
                                           std::uint64_t length, std::size_t count_max,
                                           std::optional<std::string> snapshot = std::nullopt);

  // A new session of a client. When the table is full, the one that was idle longest ends for it.
  // Errors: kBusy when every one of them has a request under way.
  Async<SessionId> open_session();
  Async<> end_session(SessionId session);

  // ---- snapshots: of the whole group; the volumes named are what the name is about. An engine
  // that receives has those that came, and reads at them only; dropping is kBusy while a diff is
  // sent or received that needs it.
  Async<SnapshotView> create_snapshot(std::vector<std::string> volumes, std::string name);
  Async<std::vector<SnapshotView>> list_snapshots();
  Async<> drop_snapshot(std::string id);

  // ---- diffs (docs/decisions/0009). Snapshots are named in full.
  Result<std::vector<format::SnapshotId>> snapshot_ids(GroupId group) const;
  // What the wanted stream has. Its ends cannot be dropped while it lives.
  Result<std::unique_ptr<DiffStream>> send_diff(format::DiffHeader wanted);
  // Of an engine that receives; see DiffReceiver. The group need not be there yet.
  Async<std::optional<format::DiffHeader>> begin_receiving(GroupId group, format::SnapshotId target,
                                                           std::vector<format::SnapshotId> offered,
                                                           DropForks may_drop = DropForks::kNo);
  Async<> receive(GroupId group, format::DiffPiece piece);

  // ---- operation
  // Why the engine has stopped itself: nothing is read or acknowledged any more, and only a new
  // start (a recovery) can help. Nothing while it serves.
  std::optional<Error> failure() const;
  EngineStats stats() const;
  std::vector<GroupStatus> groups() const;
  pool::Pool& pool();
  // Everything acknowledged is placed, in the index, and in a checkpoint. Errors: kIo, kNoSpace.
  Async<> checkpoint();
  // Index against itself, the log, the pool and the segments' summaries; the text names each
  // difference (of very many the first), empty when there is none.
  Async<std::string> check();
  // Names at most `ranges_max` ranges.
  Async<Losses> losses(std::size_t ranges_max);
  // Is anything lost at all?
  Result<bool> has_losses() const;
  // Refuses new requests, ends those in flight, checkpoints, stops. Idempotent.
  Task<void> stop();

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::store
