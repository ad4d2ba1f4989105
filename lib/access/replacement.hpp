#pragma once
// The operations that put another disk in a slot: how far one is, by a look at the pool. Pure.

#include <vector>

#include "format/operations.hpp"
#include "pool/pool.hpp"

namespace square::access {

inline constexpr std::string_view kRetire = "retire", kReplace = "replace";

// Of one that runs. A live disk's place is taken by a retirement, an empty one's by a rebuild; it
// is done when the slot's disk is another and whole.
format::LongOperation replacement_now(format::LongOperation operation, const pool::PoolStatus& pool,
                                      const std::vector<pool::DiskStatus>& disks,
                                      std::int64_t wall_ns);

}  // namespace square::access
