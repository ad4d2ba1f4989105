#include "sim/env/sim_fault.hpp"

#include "base/check.hpp"

namespace square::sim {

std::string_view disk_fault_name(DiskFault fault) {
  switch (fault) {
    case DiskFault::kIoError: return "io error";
    case DiskFault::kLostWrite: return "lost write";
    case DiskFault::kMisdirectedWrite: return "misdirected write";
    case DiskFault::kMisdirectedRead: return "misdirected read";
    case DiskFault::kStaleRead: return "stale read";
    case DiskFault::kDroppedFlush: return "dropped flush";
    case DiskFault::kSlow: return "slow";
    case DiskFault::kHung: return "hung";
    case DiskFault::kVanished: return "vanished";
    case DiskFault::kFull: return "full";
    case DiskFault::kReadOnly: return "read-only";
    case DiskFault::kRot: return "rot";
    case DiskFault::kRolledBack: return "rolled back";
    case DiskFault::kReturned: return "returned";
    case DiskFault::kCloned: return "cloned";
    case DiskFault::kForeign: return "foreign";
    case DiskFault::kLostAtCrash: return "lost at crash";
    case DiskFault::kTornAtCrash: return "torn at crash";
    case DiskFault::kCrash: return "power loss";
    case DiskFault::kKill: return "kill";
    case DiskFault::kCount: break;
  }
  return "unknown";
}

namespace {

std::uint8_t ops_of(DiskFault fault) {
  switch (fault) {
    case DiskFault::kLostWrite:
    case DiskFault::kMisdirectedWrite:
    case DiskFault::kFull: return kWrite;
    case DiskFault::kMisdirectedRead:
    case DiskFault::kStaleRead: return kRead;
    case DiskFault::kDroppedFlush: return kFlush;
    case DiskFault::kReadOnly: return kWrite | kFlush | kDiscard;
    default: return kAnyOp;
  }
}

}  // namespace

void FaultPlan::arm(ArmedFault fault) {
  fault.ops &= ops_of(fault.fault);
  SQ_CHECK(fault.ops != 0 && fault.at_call > 0, "a fault that can never strike");
  armed_.push_back(fault);
}

void FaultPlan::strike(DiskOps op, std::vector<DiskFault>& out) {
  ++calls_;
  std::erase_if(armed_, [&](ArmedFault& armed) {
    if ((armed.ops & op) == 0) return false;
    if (armed.at_call > 1) {
      --armed.at_call;
      return false;
    }
    out.push_back(armed.fault);
    return !armed.sticky;
  });
}

}  // namespace square::sim
