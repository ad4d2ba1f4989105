// Formatting and opening: from paths to members.

#include <algorithm>
#include <set>

#include "base/probe.hpp"
#include "pool/labels.hpp"
#include "pool/layout.hpp"
#include "pool/parallel.hpp"
#include "pool/pool_impl.hpp"

namespace square::pool {
namespace {

Async<MemberDiskPtr> open_disk(env::Env env, std::string path, env::DiskOptions options) {
  SQ_CO_TRY(auto disk, co_await env.disks.open(std::move(path), options));
  co_return std::make_shared<MemberDisk>(env.loop, std::move(disk));
}

Async<std::vector<MemberDiskPtr>> open_blank(env::Env env, std::vector<std::string> paths,
                                             env::DiskOptions options) {
  std::vector<MemberDiskPtr> disks;
  for (const auto& path : paths) {
    SQ_CO_TRY(auto disk, co_await open_disk(env, path, options));
    SQ_CO_TRY(const auto labelled, co_await carries_label(env.loop, disk));
    if (labelled)
      co_return Error{Code::kExists, "disk " + path +
                                         " carries a label already; nothing was written. "
                                         "`square disk wipe` gives it free"};
    disks.push_back(std::move(disk));
  }
  co_return std::move(disks);
}

Result<> check_paths(const FormatOptions& options) {
  const std::set<std::string> unique(options.paths.begin(), options.paths.end());
  if (unique.size() != options.paths.size())
    return Error{Code::kInvalid, "the same disk is named twice"};
  const auto members = static_cast<std::size_t>(options.k) + options.m;
  if (options.paths.size() < members)
    return Error{Code::kInvalid, std::to_string(options.paths.size()) + " disks given, k + m = " +
                                     std::to_string(members) + " are needed"};
  return {};
}

format::Label first_label(env::Env env, const FormatOptions& options, const Geometry& geometry) {
  format::Label label;
  label.cell = options.cell;
  label.node = options.node;
  label.pool.uuid = env.random.uuid();
  label.k = geometry.k;
  label.m = geometry.m;
  label.chunk_bytes = geometry.chunk_bytes;
  label.chunks = geometry.chunks;
  label.journal_bytes = geometry.journal_bytes;
  label.pool_generation = 1;
  return label;
}

std::vector<format::Label> first_labels(env::Env env, const FormatOptions& options,
                                        const Geometry& geometry) {
  auto label = first_label(env, options, geometry);
  std::vector<DiskId> ids;
  for (std::size_t i = 0; i < options.paths.size(); ++i) ids.push_back({env.random.uuid()});
  const auto members = static_cast<std::size_t>(geometry.k) + geometry.m;
  for (std::size_t i = 0; i < members; ++i)
    label.slots.push_back({ids[i], format::SlotState::kWhole});
  std::vector<format::Label> labels;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    label.disk = ids[i];
    label.role = i < members ? format::DiskRole::kMember : format::DiskRole::kSpare;
    label.slot = Slot(static_cast<std::uint16_t>(i < members ? i : 0));
    labels.push_back(label);
  }
  return labels;
}

struct OpenedDisk {
  DiskReading reading;
  MemberDiskPtr disk;
};

Async<> read_one(env::Env env, std::string path, env::DiskOptions options, OpenedDisk* out) {
  out->reading.path = path;
  auto disk = co_await open_disk(env, path, options);
  if (!disk.ok()) {
    out->reading.open_error = std::move(disk).error();
    co_return Result<>();
  }
  out->disk = std::move(disk).value();
  out->reading.size_bytes = out->disk->size_bytes();
  out->reading.label = co_await read_label(env.loop, out->disk);
  co_return Result<>();
}

std::vector<format::CheckpointRef> checkpoints_named_by(const Membership& membership,
                                                        const std::vector<OpenedDisk>& opened) {
  std::vector<format::CheckpointRef> refs;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    const auto state = membership.verdicts[i].state;
    if (state != DiskState::kMember && state != DiskState::kRebuilding) continue;
    const auto& label = opened[i].reading.label.value();
    for (const auto* ref : {&label.newest, &label.previous})
      if (*ref) refs.push_back(**ref);
  }
  return refs;
}

Bystander bystander(const OpenedDisk& opened, const DiskVerdict& verdict) {
  Bystander out;
  out.path = opened.reading.path;
  out.slot = verdict.slot;
  out.state = verdict.state;
  out.why = verdict.why;
  out.size_bytes = opened.reading.size_bytes;
  if (opened.reading.label.ok()) out.id = opened.reading.label->disk;
  return out;
}

}  // namespace

Async<> Pool::format(env::Env env, FormatOptions options) {
  SQ_CO_TRY(check_paths(options));
  SQ_CO_TRY(auto disks, co_await open_blank(env, options.paths, {}));
  auto smallest = disks[0]->size_bytes();
  for (const auto& disk : disks) smallest = std::min(smallest, disk->size_bytes());
  SQ_CO_TRY(const auto geometry, choose_geometry(smallest, options));
  co_await write_labels(env.loop, disks, first_labels(env, options, geometry));
  for (const auto& disk : disks)
    if (disk->failed()) co_return Error{Code::kIo, "format " + disk->path() + ": " + disk->why()};
  co_return Result<>();
}

Async<> Pool::wipe_disk(env::Env env, std::string path) {
  SQ_CO_TRY(auto disk, co_await open_disk(env, std::move(path), {}));
  co_return co_await wipe_labels(env.loop, std::move(disk));
}

Async<std::unique_ptr<Pool>> Pool::open(env::Env env, OpenOptions options) {
  std::vector<OpenedDisk> opened(options.paths.size());
  std::vector<Async<>> tasks;
  for (std::size_t i = 0; i < opened.size(); ++i)
    tasks.push_back(read_one(env, options.paths[i], options.disk, &opened[i]));
  for (const auto& result : co_await run_all(env.loop, std::move(tasks)))
    ignore(result, "what went wrong stands in the reading");
  std::vector<DiskReading> readings;
  for (const auto& disk : opened) readings.push_back(disk.reading);
  auto decided = decide_membership(options.cell, options.node, readings);
  if (!decided.ok()) co_return std::move(decided).error().context("open pool");
  const auto& membership = *decided;
  auto checkpoints = checkpoints_named_by(membership, opened);
  auto impl = std::make_unique<Impl>(env, options.disk, options.cell, options.node, membership,
                                     std::move(checkpoints));
  impl->retire_slow_after = options.retire_slow_after;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    const auto& verdict = membership.verdicts[i];
    if (verdict.state == DiskState::kMember || verdict.state == DiskState::kRebuilding) {
      impl->members->place(*verdict.slot, opened[i].disk);
      impl->watch(opened[i].disk);
    } else if (verdict.state == DiskState::kSpare) {
      impl->members->add_spare(opened[i].disk);
      impl->watch(opened[i].disk);
    } else {
      impl->members->add_bystander(bystander(opened[i], verdict));
    }
  }
  co_return std::unique_ptr<Pool>(new Pool(std::move(impl)));
}

Async<DiskId> Pool::Impl::add_disk(std::string path) {
  std::vector<std::string> paths{std::move(path)};
  SQ_CO_TRY(auto disks, co_await open_blank(env, std::move(paths), disk_options));
  const auto& disk = disks[0];
  if (disk->size_bytes() < disk_bytes_needed(members->geometry()))
    co_return Error{Code::kInvalid, "disk " + disk->path() + " has " +
                                        std::to_string(disk->size_bytes()) +
                                        " bytes, the pool needs " +
                                        std::to_string(disk_bytes_needed(members->geometry()))};
  disk->label.disk.uuid = env.random.uuid();
  members->add_spare(disk);
  watch(disk);
  SQ_CO_TRY(co_await members->write_labels());
  if (disk->failed()) co_return Error{Code::kIo, "add disk " + disk->path() + ": " + disk->why()};
  co_return disk->label.disk;
}

}  // namespace square::pool
