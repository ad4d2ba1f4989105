#include "access/replacement.hpp"

namespace square::access {

using format::LongOperation;
using format::LongOperationState;
using pool::DiskState;

namespace {

void end(LongOperation& o, LongOperationState state, std::string message, std::int64_t wall_ns) {
  o.state = state;
  o.message = std::move(message);
  o.ended_wall_ns = wall_ns;
}

void follow(LongOperation& o, const pool::RepairStatus& pass) {
  o.done_bytes = pass.done_bytes;
  o.total_bytes = pass.total_bytes;
}

}  // namespace

LongOperation replacement_now(LongOperation o, const pool::PoolStatus& pool,
                              const std::vector<pool::DiskStatus>& disks, std::int64_t wall_ns) {
  const auto name = "slot " + std::to_string(o.slot.value);
  if (o.slot.value >= disks.size()) {
    end(o, LongOperationState::kFailed, "the pool has no " + name, wall_ns);
    return o;
  }
  const auto& now = disks[o.slot.value];
  const auto& retirement = pool.retirement;
  const bool is_empty = now.state != DiskState::kMember && now.state != DiskState::kRebuilding;
  if (retirement.slot == o.slot && retirement.from == o.disk) follow(o, retirement.pass);
  if (is_empty && now.id != o.disk) {
    end(o, LongOperationState::kFailed,
        "the disk that took " + name + " has failed in its turn; square health says more", wall_ns);
  } else if (is_empty) {
    if (pool.spares_free > 0 || pool.rebuild.active)
      return o;  // one takes it within a second or so
    end(o, LongOperationState::kFailed,
        name + " is empty and no spare is free; square disk add brings one", wall_ns);
  } else if (now.state == DiskState::kRebuilding) {
    follow(o, pool.rebuild);
  } else if (now.id != o.disk) {
    end(o, LongOperationState::kDone,
        name + " is " + now.path + " now; the disk that had it may be pulled", wall_ns);
  } else if (!retirement.pass.active) {
    end(o, LongOperationState::kFailed,
        name + " stays as it was: " + (retirement.why.empty() ? "given up" : retirement.why),
        wall_ns);
  }
  return o;
}

}  // namespace square::access
