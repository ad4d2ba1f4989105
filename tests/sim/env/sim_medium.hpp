#pragma once
// The device behind a SimDisk: what survives crashes, and how it misbehaves.
//
// Fault model. A write is volatile from its completion until a flush that started after it has
// completed. When the power fails, each write that is not durable (completed or in flight) is by
// itself kept, lost, or torn: a prefix or any subset of its 512-byte sectors arrives. When only the
// process dies, completed writes stay (still volatile) and each write in flight is kept, lost or
// torn. A failed write (kIoError) leaves any subset of its sectors, as a real one may. Requests
// in flight together complete in any order. Beyond that, the faults of DiskFault strike as armed or
// by chance. The content of what is read and written is never touched otherwise.

#include <array>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "env/disk.hpp"
#include "sim/env/sim_blocks.hpp"
#include "sim/env/sim_fault.hpp"
#include "sim/env/sim_world.hpp"

namespace square::sim {

class SimDisk;

class SimMedium final : public EventTarget {
 public:
  SimMedium(SimWorld& world, std::uint64_t size_bytes);

  std::uint64_t size_bytes() const { return size_bytes_; }
  void set_timing(DiskTiming timing) { timing_ = timing; }
  void set_rates(FaultRates rates) { rates_ = rates; }
  void set_crash_odds(CrashOdds odds) { odds_ = odds; }
  FaultPlan& plan() { return plan_; }
  const FaultCounts& counts() const { return counts_; }
  void count(DiskFault fault) { counts_.add(fault); }  // one that its owner brought about

  // ---- lasting states
  void set_vanished(bool vanished);  // when it returns, only a new open reaches it
  void set_hung(bool hung);          // true: nothing is answered; false: all of it is
  void set_slow(bool slow) { slow_ = slow; }
  void set_full(bool full) { full_ = full; }
  void set_read_only(bool read_only) { read_only_ = read_only; }
  void set_lying_flush(bool lying) { lying_flush_ = lying; }
  bool vanished() const { return vanished_; }
  std::uint64_t attachment() const { return attachment_; }

  // ---- content
  // Flips `bits` stored bits, of blocks that were written. False when none was.
  bool rot(std::uint64_t seed, std::uint64_t bits);
  // Latent sector errors: a read that touches one of these blocks gives kIo until it is written.
  void make_unreadable(std::uint64_t offset, std::uint64_t size);
  // Fills the range with seeded noise.
  void spoil(std::uint64_t offset, std::uint64_t size, std::uint64_t seed);
  ByteVector peek(std::uint64_t offset, std::uint64_t size) const;
  void poke(std::uint64_t offset, Bytes bytes);  // durable; 4 KiB multiples
  // An image of what is stored now, to be put back later. Cheap.
  BlockMap snapshot() const { return current_; }
  void roll_back(const BlockMap& image);
  // Another medium of this world with the same content.
  SimMedium& clone();
  // Writes that it has carried out, ever.
  std::uint64_t writes() const { return writes_; }

  // ---- crashes; `process` of the disk that is open, called by SimDisks
  void power_loss();
  void process_died();

  // Requests that overlapped another one in flight, at least one of them a write: no defined order.
  std::uint64_t overlaps() const { return overlaps_; }
  void set_strict_overlap(bool strict) { strict_overlap_ = strict; }
  std::size_t in_flight() const { return active_.size(); }
  std::size_t volatile_writes() const { return unflushed_.size(); }

  // ---- for SimDisk
  struct Request {
    DiskOps op = kRead;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    Buffer into;
    BufferChain chain;
    SimDisk* disk = nullptr;  // null: nobody waits any more
    std::coroutine_handle<> waiter;
    Result<> result;
    bool lost = false, lying = false, misdirected = false, stale = false, failing = false;
    bool answered = false, timed_out = false;
    std::int64_t deadline_ns = 0;
    std::uint64_t covers = 0;  // a flush: writes numbered below are covered
    std::uint64_t use = 1;
  };
  using Ticket = std::uint64_t;
  // Takes the request; its waiter is resumed through the loop of `disk`.
  Ticket submit(Request request, env::Duration deadline);
  // The outcome, once resumed; the request is forgotten when the device has answered too.
  Result<> collect(Ticket ticket);
  // The disk object dies: nobody waits for its requests. Buffers stay until the device answers.
  void abandon(SimDisk& disk);
  void fire(std::uint64_t token) override;

 private:
  struct Write {
    std::uint64_t number;  // of its completion
    std::uint64_t block;
    std::uint64_t blocks;
    Slab slab;
  };

  void choose_faults(Request& request, bool& hung, bool& slow);
  void apply(Request& request, DiskFault fault, bool& hung, bool& slow);
  void note_overlaps(const Request& request);
  std::int64_t answer_time(const Request& request, bool slow);
  void answer(std::uint32_t index);
  void deadline_passed(std::uint32_t index);
  void resume(Request& request);
  void free_request(std::uint32_t index);
  void carry_out(Request& request);
  void read(const Request& request);
  void write(const Request& request);
  void flush(const Request& request);
  void discard(const Request& request);
  Write copy_of(const Request& request) const;
  void store(BlockMap& image, const Write& write, bool remember);
  void store_torn(BlockMap& image, const Write& write);
  // What an interrupted write leaves.
  void store_by_odds(BlockMap& image, const Write& write);
  void drop_in_flight();
  std::uint64_t elsewhere(const Request& request);
  std::uint32_t index_of(Ticket ticket) const { return static_cast<std::uint32_t>(ticket) >> 1; }

  SimWorld& world_;
  Rng rng_;
  std::uint64_t number_;  // of this medium, for the hash
  std::uint64_t size_bytes_;
  DiskTiming timing_;
  FaultRates rates_;
  CrashOdds odds_;
  FaultPlan plan_;
  FaultCounts counts_;
  std::vector<DiskFault> struck_;

  BlockMap stable_;              // what survives any crash
  BlockMap current_;             // what a read sees
  BlockMap previous_;            // what each block held before its last write
  std::deque<Write> unflushed_;  // in current_ and not in stable_
  std::uint64_t writes_ = 0;

  bool vanished_ = false, hung_ = false, slow_ = false, full_ = false, read_only_ = false,
       lying_flush_ = false, strict_overlap_ = false;
  std::set<std::uint64_t> unreadable_;  // blocks
  std::uint64_t attachment_ = 1;
  std::uint64_t overlaps_ = 0;
  std::int64_t busy_until_ns_ = 0;
  std::vector<Request> requests_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> active_;  // in the device
};

}  // namespace square::sim
