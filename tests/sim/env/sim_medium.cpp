#include "sim/env/sim_medium.hpp"

#include <algorithm>

#include "sim/env/sim_disk.hpp"
#include "sim/env/sim_process.hpp"

namespace square::sim {
namespace {

constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kDeadlineBit = 1;

bool changes(DiskOps op) { return op == kWrite || op == kDiscard; }

}  // namespace

SimMedium::SimMedium(SimWorld& world, std::uint64_t size_bytes)
    : world_(world), rng_(world.rng().fork()), number_(rng_.next()), size_bytes_(size_bytes) {
  SQ_CHECK(size_bytes > 0 && size_bytes % kBlockBytes == 0, "a disk is whole blocks");
}

// ---- requests

SimMedium::Ticket SimMedium::submit(Request request, env::Duration deadline) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(requests_.size()));
    requests_.emplace_back();
  }
  const auto index = free_.back();
  free_.pop_back();
  request.use = requests_[index].use;
  request.covers = writes_;
  request.deadline_ns = world_.now_ns() + deadline.count();

  bool hung = hung_;
  bool slow = slow_;
  auto& disks = request.disk->disks_;
  struck_.clear();
  disks.plan_.strike(request.op, struck_);
  plan_.strike(request.op, struck_);
  choose_faults(request, hung, slow);
  note_overlaps(request);
  if (request.op == kWrite && disks.watch) disks.watch(request.offset, request.chain);

  const Ticket ticket = request.use << 32 | static_cast<std::uint64_t>(index) << 1;
  world_.mix(number_ ^ request.offset << 8 ^ request.size << 3 ^ request.op);
  const auto deadline_ns = request.deadline_ns;
  const auto answer_ns = answer_time(request, slow);
  if (!hung) world_.schedule(answer_ns, *this, ticket);
  if (hung || answer_ns > deadline_ns) world_.schedule(deadline_ns, *this, ticket | kDeadlineBit);
  requests_[index] = std::move(request);
  active_.push_back(index);

  const auto struck = [&](DiskFault fault) {
    return std::find(struck_.begin(), struck_.end(), fault) != struck_.end();
  };
  if (struck(DiskFault::kCrash)) {
    counts_.add(DiskFault::kCrash);
    disks.process_.crash(CrashKind::kPowerLoss);
  } else if (struck(DiskFault::kKill)) {
    counts_.add(DiskFault::kKill);
    disks.process_.crash(CrashKind::kKill);
  }
  return ticket;
}

void SimMedium::choose_faults(Request& request, bool& hung, bool& slow) {
  for (const auto fault : struck_) apply(request, fault, hung, slow);
  const auto by_chance = [&](std::uint32_t ppm, DiskFault fault) {
    if (rng_.chance_ppm(ppm)) apply(request, fault, hung, slow);
  };
  by_chance(rates_.slow, DiskFault::kSlow);
  by_chance(rates_.hung, DiskFault::kHung);
  by_chance(rates_.io_error, DiskFault::kIoError);
  if (request.op == kRead) {
    by_chance(rates_.misdirected_read, DiskFault::kMisdirectedRead);
    by_chance(rates_.stale_read, DiskFault::kStaleRead);
  } else if (request.op == kWrite) {
    by_chance(rates_.lost_write, DiskFault::kLostWrite);
    by_chance(rates_.misdirected_write, DiskFault::kMisdirectedWrite);
  } else if (request.op == kFlush) {
    by_chance(rates_.dropped_flush, DiskFault::kDroppedFlush);
  }
  if (request.op == kRead && !unreadable_.empty()) {
    const auto bad = unreadable_.lower_bound(request.offset / kBlockBytes);
    if (bad != unreadable_.end() && *bad < (request.offset + request.size) / kBlockBytes)
      apply(request, DiskFault::kIoError, hung, slow);
  }
  if (slow_) counts_.add(DiskFault::kSlow);
  if (hung_) counts_.add(DiskFault::kHung);
  if (vanished_) apply(request, DiskFault::kVanished, hung, slow);
  if (full_ && request.op == kWrite) apply(request, DiskFault::kFull, hung, slow);
  if (read_only_ && request.op != kRead) apply(request, DiskFault::kReadOnly, hung, slow);
  if (lying_flush_ && request.op == kFlush) apply(request, DiskFault::kDroppedFlush, hung, slow);
}

void SimMedium::apply(Request& request, DiskFault fault, bool& hung, bool& slow) {
  switch (fault) {
    case DiskFault::kIoError: request.failing = true; break;
    case DiskFault::kLostWrite: request.lost = true; break;
    case DiskFault::kMisdirectedWrite:
    case DiskFault::kMisdirectedRead: request.misdirected = true; break;
    case DiskFault::kStaleRead: request.stale = true; break;
    case DiskFault::kDroppedFlush: request.lying = true; break;
    case DiskFault::kSlow: slow = true; break;
    case DiskFault::kHung: hung = true; break;
    case DiskFault::kVanished:
      if (!vanished_) set_vanished(true);
      request.failing = request.lost = true;
      break;
    case DiskFault::kFull:
    case DiskFault::kReadOnly: request.failing = request.lost = true; break;
    default: return;  // those of a crash come after the request is on its way
  }
  counts_.add(fault);
}

void SimMedium::note_overlaps(const Request& request) {
  if (request.op == kFlush) return;
  for (const auto index : active_) {
    const auto& other = requests_[index];
    if (other.op == kFlush || (!changes(other.op) && !changes(request.op))) continue;
    if (request.offset >= other.offset + other.size) continue;
    if (other.offset >= request.offset + request.size) continue;
    ++overlaps_;
    SQ_CHECK(!strict_overlap_ || other.timed_out,
             "two overlapping requests in flight have no order");
  }
}

std::int64_t SimMedium::answer_time(const Request& request, bool slow) {
  auto fixed = (request.op == kFlush ? timing_.flush : timing_.seek).count();
  fixed = fixed / 2 + static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(fixed) + 1));
  std::int64_t transfer = 0;
  if (timing_.bytes_per_s != 0 && request.op != kDiscard)
    transfer = static_cast<std::int64_t>(request.size * 1'000'000'000 / timing_.bytes_per_s);
  if (slow) {
    fixed *= timing_.slow_factor;
    transfer *= timing_.slow_factor;
  }
  busy_until_ns_ = std::max(busy_until_ns_, world_.now_ns()) + transfer;
  return busy_until_ns_ + fixed;
}

void SimMedium::fire(std::uint64_t token) {
  const auto index = index_of(token);
  if (index >= requests_.size() || requests_[index].use != token >> 32) return;
  if (requests_[index].answered) return;
  if ((token & kDeadlineBit) != 0) return deadline_passed(index);
  if (hung_) {  // answered when it is let go
    world_.schedule(requests_[index].deadline_ns, *this, token | kDeadlineBit);
    return;
  }
  answer(index);
}

void SimMedium::answer(std::uint32_t index) {
  std::erase(active_, index);
  auto& request = requests_[index];
  carry_out(request);
  request.answered = true;
  world_.mix(number_ ^ request.offset << 8 ^ request.op ^ (request.result.ok() ? 0x100u : 0));
  if (request.timed_out) {
    if (request.disk != nullptr) request.disk->stats_.hung_bytes -= request.size;
    return free_request(index);
  }
  resume(request);
}

void SimMedium::deadline_passed(std::uint32_t index) {
  auto& request = requests_[index];
  if (request.timed_out) return;
  request.timed_out = true;
  auto& disk = *request.disk;
  request.result = Error{Code::kTimeout, disk.info_.path + ": no answer before the deadline"};
  disk.stats_.hung_bytes += request.size;
  disk.fail("a request was not answered before its deadline");
  resume(request);
}

void SimMedium::resume(Request& request) {
  request.disk->loop_.post(std::exchange(request.waiter, {}));
}

Result<> SimMedium::collect(Ticket ticket) {
  auto& request = requests_[index_of(ticket)];
  auto result = std::move(request.result);
  if (request.answered) free_request(index_of(ticket));
  return result;
}

void SimMedium::free_request(std::uint32_t index) {
  const auto use = requests_[index].use + 1;
  requests_[index] = Request{};
  requests_[index].use = use;
  free_.push_back(index);
}

void SimMedium::abandon(SimDisk& disk) {
  for (auto& request : requests_) {
    if (request.disk != &disk) continue;
    request.disk = nullptr;
    request.timed_out = true;
  }
}

// ---- what the device does

void SimMedium::carry_out(Request& request) {
  if (request.failing) {
    if (request.op == kWrite && !request.lost) {
      auto part = copy_of(request);
      store_torn(current_, part);
      for (std::uint64_t i = 0; i < part.blocks; ++i)
        current_.get(part.block + i).copy_to(part.slab.bytes.get() + i * kBlockBytes);
      part.number = writes_++;
      unflushed_.push_back(std::move(part));
    }
    if (!request.timed_out)
      request.result = Error{Code::kIo, request.disk->info_.path + ": input/output error"};
    return;
  }
  switch (request.op) {
    case kRead: return read(request);
    case kWrite: return write(request);
    case kFlush: return flush(request);
    default: return discard(request);
  }
}

void SimMedium::read(const Request& request) {
  const auto from = request.misdirected ? elsewhere(request) : request.offset;
  const auto& image = request.stale ? previous_ : current_;
  auto into = request.into;
  for (std::uint64_t at = 0; at < request.size; at += kBlockBytes)
    image.get((from + at) / kBlockBytes).copy_to(into.data() + at);
}

void SimMedium::write(const Request& request) {
  if (request.lost) return;
  auto write = copy_of(request);
  if (request.misdirected) write.block = elsewhere(request) / kBlockBytes;
  for (std::uint64_t i = 0; i < write.blocks; ++i) unreadable_.erase(write.block + i);
  store(current_, write, true);
  write.number = writes_++;
  unflushed_.push_back(std::move(write));
}

void SimMedium::flush(const Request& request) {
  if (request.lying) return;
  while (!unflushed_.empty() && unflushed_.front().number < request.covers) {
    store(stable_, unflushed_.front(), false);
    unflushed_.pop_front();
  }
}

void SimMedium::discard(const Request& request) {
  const auto end = (request.offset + request.size) / kBlockBytes;
  for (auto block = request.offset / kBlockBytes; block < end; ++block) {
    if (rng_.chance_ppm(500'000)) continue;  // it is only advice
    current_.set(block, {});
    stable_.set(block, {});
  }
}

SimMedium::Write SimMedium::copy_of(const Request& request) const {
  Write write{0, request.offset / kBlockBytes, request.size / kBlockBytes,
              Slab(request.size / kBlockBytes)};
  auto* out = write.slab.bytes.get();
  for (const auto& part : request.chain) {
    std::memcpy(out, part.data(), part.size());
    out += part.size();
  }
  return write;
}

void SimMedium::store(BlockMap& image, const Write& write, bool remember) {
  for (std::uint64_t i = 0; i < write.blocks; ++i) {
    if (remember) previous_.set(write.block + i, image.get(write.block + i));
    image.set(write.block + i, write.slab.block(i));
  }
}

void SimMedium::store_torn(BlockMap& image, const Write& write) {
  const auto sectors = write.blocks * kBlockBytes / kSectorBytes;
  const bool prefix = rng_.chance_ppm(500'000);
  const auto cut = rng_.below(sectors + 1);
  const Slab merged(write.blocks);
  auto* out = merged.bytes.get();
  for (std::uint64_t i = 0; i < write.blocks; ++i)
    image.get(write.block + i).copy_to(out + i * kBlockBytes);
  for (std::uint64_t sector = 0; sector < sectors; ++sector) {
    const bool arrives = prefix ? sector < cut : rng_.chance_ppm(500'000);
    const auto at = sector * kSectorBytes;
    if (arrives) std::memcpy(out + at, write.slab.bytes.get() + at, kSectorBytes);
  }
  for (std::uint64_t i = 0; i < write.blocks; ++i) image.set(write.block + i, merged.block(i));
}

void SimMedium::store_by_odds(BlockMap& image, const Write& write) {
  const auto draw = rng_.below(1'000'000);
  if (draw < odds_.kept_ppm) return store(image, write, false);
  if (draw < odds_.kept_ppm + odds_.lost_ppm) return counts_.add(DiskFault::kLostAtCrash);
  counts_.add(DiskFault::kTornAtCrash);
  store_torn(image, write);
}

std::uint64_t SimMedium::elsewhere(const Request& request) {
  const auto places = (size_bytes_ - request.size) / kBlockBytes + 1;
  const auto own = request.offset / kBlockBytes;
  if (places < 2) return request.offset;
  const auto near = std::min<std::uint64_t>(places - 1, 64);
  const auto step = 1 + rng_.below(rng_.chance_ppm(500'000) ? near : places - 1);
  return (own + step) % places * kBlockBytes;
}

// ---- crashes

void SimMedium::power_loss() {
  for (const auto& write : unflushed_) store_by_odds(stable_, write);
  unflushed_.clear();
  for (const auto index : active_) {
    const auto& request = requests_[index];
    if (request.op == kWrite && !request.lost) store_by_odds(stable_, copy_of(request));
  }
  current_ = stable_;
  drop_in_flight();
}

void SimMedium::process_died() {
  for (const auto index : active_) {
    const auto& request = requests_[index];
    if (request.op != kWrite || request.lost) continue;
    auto write = copy_of(request);
    store_by_odds(current_, write);
    for (std::uint64_t i = 0; i < write.blocks; ++i)
      current_.get(write.block + i).copy_to(write.slab.bytes.get() + i * kBlockBytes);
    write.number = writes_++;
    unflushed_.push_back(std::move(write));
  }
  drop_in_flight();
}

void SimMedium::drop_in_flight() {
  active_.clear();
  free_.clear();
  for (std::uint32_t i = 0; i < requests_.size(); ++i) free_request(i);
  busy_until_ns_ = world_.now_ns();
}

// ---- states and content

void SimMedium::set_vanished(bool vanished) {
  if (vanished && !vanished_) {
    ++attachment_;
    for (const auto index : active_) requests_[index].failing = requests_[index].lost = true;
  }
  if (vanished_ && !vanished) counts_.add(DiskFault::kReturned);
  vanished_ = vanished;
}

void SimMedium::set_hung(bool hung) {
  hung_ = hung;
  if (hung) return;
  for (const auto index : active_)
    world_.schedule(world_.now_ns(), *this,
                    requests_[index].use << 32 | static_cast<std::uint64_t>(index) << 1);
}

bool SimMedium::rot(std::uint64_t seed, std::uint64_t bits) {
  Rng rng(seed);
  const auto written = current_.written();
  if (written.empty()) return false;
  for (; bits > 0; --bits) {
    const auto block = written[rng.below(written.size())];
    const auto old = current_.get(block);
    const Slab slab(1);
    old.copy_to(slab.bytes.get());
    slab.bytes[rng.below(kBlockBytes)] ^= std::byte{1} << rng.below(8);
    if (stable_.get(block).data == old.data) stable_.set(block, slab.block(0));
    current_.set(block, slab.block(0));
    counts_.add(DiskFault::kRot);
  }
  return true;
}

void SimMedium::make_unreadable(std::uint64_t offset, std::uint64_t size) {
  for (auto block = offset / kBlockBytes; block < (offset + size) / kBlockBytes; ++block)
    unreadable_.insert(block);
}

void SimMedium::spoil(std::uint64_t offset, std::uint64_t size, std::uint64_t seed) {
  Rng rng(seed);
  ByteVector noise(size);
  for (auto& byte : noise) byte = static_cast<std::byte>(rng.next() >> 56);
  poke(offset, noise);
  counts_.add(DiskFault::kRot);
}

ByteVector SimMedium::peek(std::uint64_t offset, std::uint64_t size) const {
  SQ_CHECK(offset % kBlockBytes == 0 && size % kBlockBytes == 0);
  ByteVector out(size);
  for (std::uint64_t at = 0; at < size; at += kBlockBytes)
    current_.get((offset + at) / kBlockBytes).copy_to(out.data() + at);
  return out;
}

void SimMedium::poke(std::uint64_t offset, Bytes bytes) {
  SQ_CHECK(offset % kBlockBytes == 0 && bytes.size() % kBlockBytes == 0);
  const Write write{0, offset / kBlockBytes, bytes.size() / kBlockBytes,
                    Slab(bytes.size() / kBlockBytes)};
  std::memcpy(write.slab.bytes.get(), bytes.data(), bytes.size());
  store(current_, write, false);
  store(stable_, write, false);
}

void SimMedium::roll_back(const BlockMap& image) {
  current_ = stable_ = image;
  unflushed_.clear();
  counts_.add(DiskFault::kRolledBack);
}

SimMedium& SimMedium::clone() {
  auto copy = std::make_unique<SimMedium>(world_, size_bytes_);
  copy->current_ = copy->stable_ = current_;
  copy->timing_ = timing_;
  copy->counts_.add(DiskFault::kCloned);
  return world_.add_medium(std::move(copy));
}

}  // namespace square::sim
