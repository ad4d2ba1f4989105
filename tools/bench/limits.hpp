#pragma once
// The bare cost of work that nobody can leave out, in CPU seconds, measured when asked: sealing,
// hashing, parity, one write; one put.

#include "bench/runs.hpp"

namespace square::bench {

// Seals 1 MiB in extents of 64 KiB, hashes 1.25 MiB as ten strips, makes the parity of eight, and
// writes 1.25 MiB to a file in `dir`.
Result<double> bare_write_1mib_s(const Settings& settings);
// Seals one extent of `bytes`.
double bare_seal_s(std::uint32_t bytes);
// One put of a key and a value as large as a mapping's, at random, into an index of its own with
// `entries` entries; what RocksDB does in the background counts.
Result<double> bare_put_s(const Settings& settings, std::uint64_t entries);
// Opens a stored extent of 64 KiB: checks it as a whole, and opens `bytes` of it.
double bare_open_s(std::uint32_t bytes);
// Rebuilds 1 MiB of one strip: reads k MiB of a file in `dir`, hashes them, recovers, writes 1 MiB.
Result<double> bare_rebuild_1mib_s(const Settings& settings);

}  // namespace square::bench
