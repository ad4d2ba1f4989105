#pragma once
// Whole volumes in and out, many MiB in flight, holes kept.

#include <atomic>
#include <functional>

#include "client/core.hpp"

namespace square::client {

struct Piece {
  std::uint64_t offset = 0, length = 0;
  bool hole = false;
  Buffer data;  // `length` bytes unless a hole
};

struct Progress {
  std::atomic<std::uint64_t> done_bytes{0}, total_bytes{0};
};

// Gives the next piece, in order, or nothing at the end. Called on helper threads, one at a time.
using Source = std::function<Result<std::optional<Piece>>()>;
// Takes pieces in order, without gaps. Called on helper threads, one at a time.
using Sink = std::function<Result<>(const Piece&)>;

// Data of at most 1 MiB a piece. On an error, what was in flight has ended.
Async<> copy_in(env::Loop& loop, Core& core, VolumeId volume, Source source, Progress* progress);
Async<> copy_out(env::Loop& loop, Core& core, VolumeId volume, std::uint64_t offset,
                 std::uint64_t length, std::string snapshot, Sink sink, Progress* progress);

bool all_zero(Bytes bytes);

}  // namespace square::client
