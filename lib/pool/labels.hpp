#pragma once
// Reading and writing the four label copies of disks.

#include "pool/member_disk.hpp"

namespace square::pool {

// The newest valid copy; notes in the disk which copies are valid. Errors: kNotFound (no copy
// carries a label), kUnsupported (a copy of a newer version: the disk is a newer program's,
// whatever the others say), kCorrupt (labels, none of them valid), kIo.
Async<format::Label> read_label(env::Loop& loop, MemberDiskPtr disk);

// Any of the four places carries the mark of a label, valid or not. Errors: kIo.
Async<bool> carries_label(env::Loop& loop, MemberDiskPtr disk);

// Writes `labels[i]` to `disks[i]`, with the next sequence number of each: first the copies that do
// not hold the disk's newest label (or half of them), on all disks, and flushes; then the others,
// and flushes. At every moment each disk has a valid copy of its old or its new label. A disk that
// fails meanwhile is failed; whether enough are left, the caller judges.
Task<void> write_labels(env::Loop& loop, std::vector<MemberDiskPtr> disks,
                        std::vector<format::Label> labels);

// Overwrites all copies with zeros and flushes. Errors: kIo.
Async<> wipe_labels(env::Loop& loop, MemberDiskPtr disk);

}  // namespace square::pool
