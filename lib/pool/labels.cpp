#include "pool/labels.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/parallel.hpp"

namespace square::pool {
namespace {

using Copies = std::vector<std::size_t>;

struct ReadCopies {
  std::array<Buffer, kLabelCopies> blocks;
  std::vector<Result<>> results;
};

Task<ReadCopies> read_copies(env::Loop& loop, MemberDiskPtr disk) {
  ReadCopies read;
  const auto offsets = label_offsets(disk->size_bytes());
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < kLabelCopies; ++i) {
    read.blocks[i] = Buffer::allocate(format::kLabelBytes);
    tasks.push_back(disk->read(offsets[i], read.blocks[i]));
  }
  read.results = co_await run_all(loop, std::move(tasks));
  co_return read;
}

Copies first_copies(const MemberDisk& disk) {
  const auto newest = *std::ranges::max_element(disk.label_copies);
  Copies copies;
  if (SQ_PLANTED("one_label_copy")) return {0, 1, 2, 3};
  for (std::size_t i = 0; i < kLabelCopies; ++i)
    if (newest == 0 || disk.label_copies[i] != newest) copies.push_back(i);
  if (copies.empty() || newest == 0) return {0, 2};
  SQ_PROBE("label copies of an interrupted update were written first");
  return copies;
}

Copies rest_of(const Copies& first) {
  Copies rest;
  for (std::size_t i = 0; i < kLabelCopies; ++i)
    if (std::ranges::find(first, i) == first.end()) rest.push_back(i);
  return rest;
}

Async<> write_copies(env::Loop& loop, MemberDiskPtr disk, Buffer block, std::uint64_t sequence,
                     Copies copies) {
  const auto offsets = label_offsets(disk->size_bytes());
  std::vector<Async<>> tasks;
  for (const auto i : copies) {
    disk->label_copies[i] = 0;  // until it is whole again
    BufferChain chain{block};
    tasks.push_back(disk->write(offsets[i], std::move(chain)));
  }
  const auto results = co_await run_all(loop, std::move(tasks));
  for (const auto& result : results) SQ_CO_TRY(result);
  SQ_CO_TRY(co_await disk->flush());
  for (const auto i : copies) disk->label_copies[i] = sequence;
  co_return Result<>();
}

Buffer label_block(const format::Label& label) {
  return Buffer::copy_of(format::encode_label(label));
}

}  // namespace

Async<format::Label> read_label(env::Loop& loop, MemberDiskPtr disk) {
  const auto read = co_await read_copies(loop, disk);
  std::optional<format::Label> newest;
  Error why{Code::kNotFound, "no label"};
  std::optional<Error> newer_version;
  for (std::size_t i = 0; i < kLabelCopies; ++i) {
    disk->label_copies[i] = 0;
    if (!read.results[i].ok()) {
      if (why.code == Code::kNotFound) why = read.results[i].error();
      continue;
    }
    auto label = format::decode_label(read.blocks[i].bytes());
    if (label.ok()) {
      disk->label_copies[i] = label->sequence;
      if (!newest || label->sequence > newest->sequence) newest = std::move(label).value();
    } else if (label.code() == Code::kUnsupported) {
      newer_version = label.error();
    } else if (label.code() == Code::kCorrupt) {
      why = label.error();
    }
  }
  if (newer_version) co_return std::move(*newer_version);
  if (!newest) co_return why;
  disk->label = *newest;
  co_return std::move(*newest);
}

Async<bool> carries_label(env::Loop& loop, MemberDiskPtr disk) {
  const auto read = co_await read_copies(loop, disk);
  for (std::size_t i = 0; i < kLabelCopies; ++i) {
    SQ_CO_TRY(read.results[i]);
    const auto label = format::decode_label(read.blocks[i].bytes());
    if (label.ok() || label.code() != Code::kNotFound) co_return true;
  }
  co_return false;
}

Task<void> write_labels(env::Loop& loop, std::vector<MemberDiskPtr> disks,
                        std::vector<format::Label> labels) {
  std::vector<Copies> first;
  std::vector<Buffer> blocks;
  for (std::size_t i = 0; i < disks.size(); ++i) {
    labels[i].sequence = disks[i]->label.sequence + 1;
    first.push_back(first_copies(*disks[i]));
    blocks.push_back(label_block(labels[i]));
  }
  for (const bool second : {false, true}) {
    std::vector<Async<>> tasks;
    for (std::size_t i = 0; i < disks.size(); ++i) {
      auto copies = second ? rest_of(first[i]) : first[i];
      if (copies.empty() || disks[i]->failed()) continue;
      tasks.push_back(
          write_copies(loop, disks[i], blocks[i], labels[i].sequence, std::move(copies)));
    }
    for (const auto& result : co_await run_all(loop, std::move(tasks)))
      ignore(result, "the disk has failed, and says so itself");
  }
  for (std::size_t i = 0; i < disks.size(); ++i)
    if (!disks[i]->failed()) disks[i]->label = labels[i];
}

Async<> wipe_labels(env::Loop& loop, MemberDiskPtr disk) {
  std::vector<Async<>> tasks;
  for (const auto offset : label_offsets(disk->size_bytes())) {
    BufferChain chain{Buffer::zeroed(format::kLabelBytes)};
    tasks.push_back(disk->write(offset, std::move(chain)));
  }
  for (const auto& result : co_await run_all(loop, std::move(tasks))) SQ_CO_TRY(result);
  co_return co_await disk->flush();
}

}  // namespace square::pool
