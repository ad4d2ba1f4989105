#pragma once
// What can go wrong with a simulated disk, how it is ordered, and how often it happened.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "env/loop.hpp"

namespace square::sim {

enum class DiskFault : std::uint8_t {
  kIoError,    // the call gives kIo, nothing is done (a failed write leaves any mix of sectors)
  kLostWrite,  // said ok, never stored
  kMisdirectedWrite,  // stored at another offset, not at its own
  kMisdirectedRead,   // content of another offset; the next read is right
  kStaleRead,         // content from before the last write; the next read is right
  kDroppedFlush,      // said ok, nothing became durable
  kSlow,              // takes slow_factor times as long
  kHung,              // never answered
  kVanished,          // the disk is gone: every call gives kIo
  kFull,              // a write finds no space (thin device): kIo
  kReadOnly,          // a write, flush or discard gives kIo
  kRot,               // stored bits changed
  kRolledBack,        // an older image is back
  kReturned,          // a disk that had vanished is there again
  kCloned,            // its content appeared on a second disk
  kForeign,           // a disk of somebody else appeared
  kLostAtCrash,       // an unflushed write did not survive
  kTornAtCrash,       // an unflushed write survived in part
  kCrash,             // the power of the machine fails while this call is in flight
  kKill,              // the process is killed while this call is in flight
  kCount,
};
std::string_view disk_fault_name(DiskFault fault);

enum DiskOps : std::uint8_t {
  kRead = 1,
  kWrite = 2,
  kFlush = 4,
  kDiscard = 8,
  kAnyOp = 15,
};

// "The Nth call of these kinds": 1 is the next one. Sticky: and every later one.
struct ArmedFault {
  DiskFault fault = DiskFault::kIoError;
  std::uint64_t at_call = 1;
  std::uint8_t ops = kAnyOp;
  bool sticky = false;
};

struct FaultCounts {
  std::array<std::uint64_t, static_cast<std::size_t>(DiskFault::kCount)> fired{};
  std::uint64_t of(DiskFault fault) const { return fired[static_cast<std::size_t>(fault)]; }
  void add(DiskFault fault) { ++fired[static_cast<std::size_t>(fault)]; }
  void add(const FaultCounts& other) {
    for (std::size_t i = 0; i < fired.size(); ++i) fired[i] += other.fired[i];
  }
};

// Chances of a fault at each call that it can strike, in millionths.
struct FaultRates {
  std::uint32_t io_error = 0, lost_write = 0, misdirected_write = 0, misdirected_read = 0,
                stale_read = 0, dropped_flush = 0, slow = 0, hung = 0;
};

struct DiskTiming {
  env::Duration seek = std::chrono::microseconds(100);  // each request: 0.5 to 1.5 of it
  env::Duration flush = std::chrono::microseconds(500);
  std::uint64_t bytes_per_s = 200'000'000;  // 0: no limit
  std::uint32_t slow_factor = 100;
  static DiskTiming instant() { return {env::Duration(0), env::Duration(0), 0, 100}; }
};

// What becomes of each write that is not flushed when the power fails; the rest is torn.
struct CrashOdds {
  std::uint32_t kept_ppm = 350'000;
  std::uint32_t lost_ppm = 350'000;
};

// Faults that were ordered for certain calls, of one disk or of all disks of a process.
class FaultPlan {
 public:
  // Counts only calls that the fault can strike: a lost write waits for a write.
  void arm(ArmedFault fault);
  void disarm() { armed_.clear(); }
  bool empty() const { return armed_.empty(); }
  std::uint64_t calls() const { return calls_; }  // all calls so far, to know how far a sweep goes
  // Counts one call and appends what strikes it.
  void strike(DiskOps op, std::vector<DiskFault>& out);

 private:
  std::vector<ArmedFault> armed_;
  std::uint64_t calls_ = 0;
};

}  // namespace square::sim
