#pragma once
// Who is who, decided from the labels alone. Pure: no I/O.
//
// The label with the highest pool generation is the authority: its table says which disk holds each
// slot. A disk is a member only if that table names it, and if it has taken part in the last two
// checkpoints and the last two changes of membership: one that has not was rolled back or away, and
// what it holds cannot be told from what it should hold.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/label.hpp"
#include "pool/pool.hpp"

namespace square::pool {

// What was found at one configured path.
struct DiskReading {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::optional<Error> open_error;
  Result<format::Label> label = Error{Code::kNotFound, "no label"};
};

struct DiskVerdict {
  DiskState state = DiskState::kForeign;  // never kMissing for a path that opened
  std::optional<Slot> slot;
  std::string why;
};

struct Membership {
  Geometry geometry;
  PoolId pool;
  std::uint64_t generation = 0;
  std::uint32_t epoch = 0;  // the highest that a label of the pool names
  std::vector<format::SlotEntry> slots;
  std::vector<DiskVerdict> verdicts;                        // one for each reading, in order
  std::vector<std::optional<std::size_t>> reading_of_slot;  // members and rebuilding ones
};

// Errors: kUnavailable when fewer than k members are whole, naming what is wrong with each disk;
// kUnsupported instead when disks of a newer format are among them.
Result<Membership> decide_membership(CellId cell, NodeId node,
                                     std::span<const DiskReading> readings);

Geometry geometry_of(const format::Label& label);

}  // namespace square::pool
