#include "sim/env/sim_disk.hpp"

#include <algorithm>

#include "sim/env/sim_process.hpp"

namespace square::sim {

// ---- SimDisk

SimDisk::SimDisk(SimDisks& disks, SimLoop& loop, SimMedium& medium, std::string path,
                 env::DiskOptions options)
    : disks_(disks),
      loop_(loop),
      medium_(medium),
      attachment_(medium.attachment()),
      options_(options),
      info_{std::move(path), medium.size_bytes(), true} {}

SimDisk::~SimDisk() {
  medium_.abandon(*this);
  const auto open = disks_.open_.find(&medium_);
  if (open != disks_.open_.end() && open->second == this) disks_.open_.erase(open);
}

struct SimDisk::Wait {
  SimDisk& disk;
  SimMedium::Request& request;
  SimMedium::Ticket ticket = 0;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    if (disk.loop_.ending()) return;  // a dead process does nothing and waits for ever
    request.disk = &disk;
    request.waiter = handle;
    ticket = disk.medium_.submit(std::move(request), disk.options_.deadline);
  }
  Result<> await_resume() { return disk.medium_.collect(ticket); }
};

Async<> SimDisk::request(SimMedium::Request request) {
  SQ_CHECK(request.offset % kBlockBytes == 0 && request.size % kBlockBytes == 0,
           "requests are whole blocks");
  if (!failed() && attachment_ != medium_.attachment()) fail("the disk is gone");
  if (failed()) {
    co_await env::yield(loop_);
    co_return dead();
  }
  if (request.offset > info_.size_bytes || request.size > info_.size_bytes - request.offset) {
    co_await env::yield(loop_);
    co_return Error{Code::kIo, info_.path + ": a request beyond the end of the disk"};
  }
  const bool flushing = request.op == kFlush;
  Wait wait{*this, request};
  auto result = co_await wait;
  if (!result.ok() && flushing) fail("a flush failed: " + result.error().message);
  co_return result;
}

Async<> SimDisk::read(std::uint64_t offset, Buffer into) {
  SQ_CHECK(into.aligned() && !into.empty(), "O_DIRECT needs aligned memory");
  ++stats_.reads;
  stats_.read_bytes += into.size();
  SimMedium::Request wanted;
  wanted.op = kRead;
  wanted.offset = offset;
  wanted.size = into.size();
  wanted.into = std::move(into);
  return request(std::move(wanted));
}

Async<> SimDisk::write(std::uint64_t offset, BufferChain chain) {
  for (const auto& part : chain)
    SQ_CHECK(part.aligned() && part.size() % kBlockBytes == 0, "O_DIRECT needs aligned memory");
  SimMedium::Request wanted;
  wanted.op = kWrite;
  wanted.offset = offset;
  wanted.size = total_size(chain);
  wanted.chain = std::move(chain);
  SQ_CHECK(wanted.size != 0, "an empty write");
  ++stats_.writes;
  stats_.written_bytes += wanted.size;
  return request(std::move(wanted));
}

Async<> SimDisk::flush() {
  ++stats_.flushes;
  SimMedium::Request wanted;
  wanted.op = kFlush;
  return request(std::move(wanted));
}

Async<> SimDisk::discard(std::uint64_t offset, std::uint64_t size) {
  ++stats_.discards;
  SimMedium::Request wanted;
  wanted.op = kDiscard;
  wanted.offset = offset;
  wanted.size = size;
  return request(std::move(wanted));
}

Async<> SimDisk::check_path() {
  co_await env::yield(loop_);
  if (failed()) co_return dead();
  const auto found = disks_.media_.find(info_.path);
  if (found == disks_.media_.end() || found->second != &medium_ || medium_.vanished() ||
      medium_.attachment() != attachment_)
    co_return Error{Code::kIo, info_.path + ": no longer the device that was opened"};
  co_return {};
}

void SimDisk::fail(std::string why) {
  if (!failed()) why_failed_ = why.empty() ? "failed" : std::move(why);
}

// ---- SimDisks

Async<std::unique_ptr<env::Disk>> SimDisks::open(std::string path, env::DiskOptions options) {
  auto& loop = process_.loop();
  co_await env::yield(loop);
  const auto found = media_.find(path);
  if (found == media_.end()) co_return Error{Code::kNotFound, path + ": no such device"};
  auto& medium = *found->second;
  if (medium.vanished()) co_return Error{Code::kIo, path + ": the device does not answer"};
  const auto other = open_.find(&medium);
  if (other != open_.end() && other->second->attachment_ == medium.attachment())
    co_return Error{Code::kBusy, path + ": in use"};
  auto disk = std::make_unique<SimDisk>(*this, loop, medium, path, options);
  open_[&medium] = disk.get();
  co_return std::unique_ptr<env::Disk>(std::move(disk));
}

SimMedium& SimDisks::add(const std::string& path, std::uint64_t size_bytes) {
  auto& medium = process_.world().add_medium(size_bytes);
  medium.set_timing(timing_);
  medium.set_strict_overlap(strict_overlap_);
  attach(path, medium);
  return medium;
}

void SimDisks::attach(const std::string& path, SimMedium& medium) {
  media_[path] = &medium;
  if (std::find(known_.begin(), known_.end(), &medium) == known_.end()) known_.push_back(&medium);
}

void SimDisks::detach(const std::string& path) { media_.erase(path); }

SimMedium& SimDisks::at(const std::string& path) {
  const auto found = media_.find(path);
  SQ_CHECK(found != media_.end(), path);
  return *found->second;
}

FaultCounts SimDisks::counts() const {
  FaultCounts sum;
  for (const auto* medium : known_) sum.add(medium->counts());
  return sum;
}

void SimDisks::set_timing(DiskTiming timing) {
  timing_ = timing;
  for (auto* medium : known_) medium->set_timing(timing);
}

void SimDisks::set_strict_overlap(bool strict) {
  strict_overlap_ = strict;
  for (auto* medium : known_) medium->set_strict_overlap(strict);
}

void SimDisks::crashed(bool power_loss) {
  open_.clear();
  for (auto* medium : known_) {
    if (power_loss) {
      medium->power_loss();
    } else {
      medium->process_died();
    }
  }
}

}  // namespace square::sim
