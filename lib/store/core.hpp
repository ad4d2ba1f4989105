#pragma once
// What the parts of one engine share. Internal to lib/store.

#include <functional>
#include <string>

#include "journal/lane.hpp"
#include "store/engine.hpp"
#include "store/ledger.hpp"

namespace square::store {

struct Core {
  Core(env::Env e, EngineOptions o, codec::KeyStore& k)
      : env(e),
        options(std::move(o)),
        keys(k),
        write_buffer(e.loop, options.write_buffer_bytes),
        work(e.loop),
        progress(e.loop) {}

  env::Env env;
  EngineOptions options;
  codec::KeyStore& keys;
  std::unique_ptr<pool::Pool> pool;
  std::unique_ptr<journal::Lane> lane;
  std::unique_ptr<index::Index> index;
  LaneLedger ledger;
  env::Budget write_buffer;
  env::Event work;      // set when destaging or a checkpoint may be due
  env::Event progress;  // pulsed when operations were applied to an index, or on failure
  EngineStats stats;
  std::optional<Error> failed;  // set once: nothing is acknowledged or read any more
  std::function<void()> on_failed;
  std::optional<Error> no_room;        // destaging waits for space, and cleaning finds none
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
    work.set();
    progress.pulse();
    if (on_failed) on_failed();
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
