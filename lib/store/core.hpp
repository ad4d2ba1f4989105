#pragma once
// What the parts of one engine share. Internal to lib/store.

#include <functional>
#include <set>
#include <string>

#include "journal/lane.hpp"
#include "store/cleaning_core.hpp"
#include "store/engine.hpp"
#include "store/ledger.hpp"
#include "store/room_gate.hpp"

namespace square::store {

struct Core {
  Core(env::Env e, EngineOptions o, codec::KeyStore& k)
      : env(e),
        options(std::move(o)),
        keys(k),
        write_buffer(e.loop, options.write_buffer_bytes),
        room(e.loop),
        work(e.loop),
        progress(e.loop) {
    room.set_fits([this](std::uint64_t bytes) { return has_room(bytes, RoomFor::kClients); });
  }

  env::Env env;
  EngineOptions options;
  codec::KeyStore& keys;
  std::unique_ptr<pool::Pool> pool;
  std::unique_ptr<journal::Lane> lane;
  std::unique_ptr<index::Index> index;
  LaneLedger ledger;
  env::Budget write_buffer;
  RoomGate room;        // clients pass it before they take of the write buffer
  env::Event work;      // set when destaging or a checkpoint may be due
  env::Event progress;  // pulsed when operations were applied to an index, or on failure
  EngineStats stats;
  std::optional<Error> failed;  // set once: nothing is acknowledged or read any more
  std::function<void()> on_failed;
  std::optional<Error> no_room;  // destaging waits for space, and cleaning finds none
  std::multiset<std::pair<GroupId, Sequence>> pinned;  // snapshots that a diff is made of
  std::optional<Error> no_checkpoint;  // too many members are away: the journal is not emptied

  std::uint64_t cell_tag() const {
    std::uint64_t tag;
    std::memcpy(&tag, options.pool.cell.uuid.bytes.data(), sizeof tag);
    return tag;
  }

  // Everything below is in the index: what the index says of itself with each change.
  std::pair<std::uint16_t, format::LanePoint> index_point() const {
    return {0, lane->point_at(ledger.unapplied_from(lane->durable()))};
  }

  // The first failure counts. Everything that waits learns of it.
  void fail(Error error) {
    if (failed) return;
    failed = std::move(error).context("the engine has stopped");
    room.close(*failed);
    work.set();
    progress.pulse();
    if (on_failed) on_failed();
  }
  // Writers wait first, so that destage, cleaning, drops and recovery always find room.
  bool has_room(std::uint64_t bytes, RoomFor who) const {
    return fits(write_buffer.used() + room.promised() + bytes, who);
  }
  // For what holds write buffer already. A promise may be old: packing has cost more meanwhile.
  bool still_has_room(RoomFor who) const { return fits(write_buffer.used(), who); }
  bool fits(std::uint64_t promised, RoomFor who) const {
    const auto in_pool = pool->room();
    return promised + promised / 8 + room_reserve_bytes(in_pool, who) <= in_pool.free_fresh_bytes;
  }
  Error full(const std::string& why) const {
    return {Code::kNoSpace,
            "the pool is full: " + std::to_string(pool->room().free_fresh_bytes >> 20) +
                " MiB are left, and are kept for what is accepted already; " + why +
                "; delete volumes or snapshots, or add disks"};
  }
  // What is left of a journal that nothing empties is for what must go on.
  Result<> check_journal() const {
    if (!no_checkpoint || lane->used_bytes() < lane->ring_bytes() / 4 * 3) return {};
    return Error{Code::kUnavailable, "the journal is nearly full: " + no_checkpoint->message};
  }
  // Also before anybody has noticed: without its journal it cannot acknowledge anything.
  std::optional<Error> failure() const {
    if (failed || lane == nullptr || !lane->halted()) return failed;
    return Error{Code::kUnavailable, "the engine has stopped: no disk takes the journal"};
  }
  Result<> alive() const {
    if (failed) return Error{Code::kUnavailable, failed->message};
    return {};
  }
};

}  // namespace square::store
