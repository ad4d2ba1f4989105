// Reading every copy of the ring, and the log in it.

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "journal/lane_impl.hpp"

namespace square::journal {
namespace {

constexpr std::uint64_t kPieceBytes = 256u << 10;  // of each disk in memory while scanning
constexpr std::size_t kVerifiesAtOnce = 16;

}  // namespace

Async<RecoveredLane> Lane::Impl::recover(LanePoint tail) {
  SQ_CHECK(phase_ == Phase::kNew, "a lane is recovered once");
  finder_.emplace(core_.config(), tail);
  SQ_CO_TRY(co_await scan_disks());
  const auto path = co_await verified_path();
  RecoveredLane found;
  found.tail = finder_->tail();
  found.end = path.empty() ? finder_->tail() : path.back()->header.after();
  SQ_CO_TRY(check_no_hole(found.end.position));

  std::vector<LiveBatch> batches;
  for (auto* candidate : path) {
    const auto& header = candidate->header;
    found.points.push_back(header.before());
    DurableRecord record{header.position, header.end(), 0, header.epoch, {}};
    for (auto& bytes : candidate->records) {
      record.bytes = std::move(bytes);
      found.records.push_back(record);
      ++record.index;
    }
    batches.push_back({header, candidate->good});
  }
  found.points.push_back(found.end);
  found.highest_epoch = highest_epoch_ = finder_->highest_epoch();
  core_.recovered(finder_->tail(), tail.position, std::move(batches));
  finder_.reset();
  maybe_lacking_ = true;
  phase_ = Phase::kRecovered;
  co_return found;
}

Async<> Lane::Impl::scan_disks() {
  env::Scope scans(loop_);
  for (const auto slot : live_slots()) scans.spawn(scan_disk(slot));
  co_await scans.join();
  SQ_CO_TRY(std::move(scan_error_));
  if (disks_scanned_ == 0) co_return Error{Code::kIo, named("no disk can be read")};
  co_return Result<>();
}

Task<void> Lane::Impl::scan_disk(Slot slot) {
  const auto& config = core_.config();
  const auto losses_before = losses(slot);
  for (std::uint64_t at = 0; at < config.ring_bytes; at += kPieceBytes) {
    auto piece = Buffer::allocate(std::min(kPieceBytes, config.ring_bytes - at));
    const auto done = co_await disks_.read(slot, config.ring_offset + at, piece);
    if (!done.ok()) read_failed(slot, losses_before);
    if (losses(slot) != losses_before) co_return;
    auto scanned =
        done.ok() ? scan_piece(slot, at, piece) : co_await scan_blocks(slot, at, piece.size());
    if (losses(slot) != losses_before) co_return;
    if (!scanned.ok()) scan_error_ = std::move(scanned);
  }
  ++disks_scanned_;
}

// A piece with a bad sector: all the others of its blocks count. Most of a ring is dead laps, where
// bad sectors gather that nobody has read. A disk that gives none of them is gone.
Async<> Lane::Impl::scan_blocks(Slot slot, std::uint64_t ring_offset, std::uint64_t size) {
  SQ_PROBE("bad sectors in a journal were stepped over");
  const auto losses_before = losses(slot);
  bool any = false;
  for (std::uint64_t at = ring_offset; at < ring_offset + size; at += kBlockBytes) {
    auto block = Buffer::allocate(kBlockBytes);
    const auto done = co_await disks_.read(slot, core_.config().ring_offset + at, block);
    if (!done.ok()) read_failed(slot, losses_before);
    if (losses(slot) != losses_before) break;
    if (done.ok()) SQ_CO_TRY(scan_piece(slot, at, block));
    any = any || done.ok();
  }
  if (!any) request_failed(slot, losses_before);
  co_return Result<>();
}

Result<> Lane::Impl::scan_piece(Slot slot, std::uint64_t ring_offset, const Buffer& piece) {
  for (std::size_t at = 0; at < piece.size(); at += kBlockBytes) {
    const auto header = format::decode_journal_header(piece.bytes().subspan(at));
    if (header.ok()) {
      finder_->add(slot, ring_offset + at, *header);
    } else if (header.code() == Code::kUnsupported) {
      return Error{Code::kUnsupported, named(header.error().message)};
    }
  }
  return {};
}

// The log, with the body of each batch read from every copy. Batches whose body no copy has are
// dropped, and the choice is made anew, until all that is chosen is proven.
Task<std::vector<Candidate*>> Lane::Impl::verified_path() {
  for (;;) {
    auto path = finder_->path();
    std::vector<Candidate*> unread;
    std::copy_if(path.begin(), path.end(), std::back_inserter(unread),
                 [](const Candidate* candidate) { return !candidate->verified; });
    for (std::size_t at = 0; at < unread.size();) {
      env::Scope reads(loop_);
      for (std::size_t i = 0; i < kVerifiesAtOnce && at < unread.size(); ++i)
        reads.spawn(verify(unread[at++]));
      co_await reads.join();
    }
    if (!finder_->drop_bad()) co_return path;
    SQ_PROBE("journal batch on the chain is torn on every disk");
  }
}

Task<void> Lane::Impl::verify(Candidate* candidate) {
  const auto copies = candidate->copies;  // losses may change the original
  for (const auto slot : copies) {
    const auto losses_before = losses(slot);
    auto bytes = Buffer::allocate(candidate->header.written_bytes());
    const auto offset = core_.journal_offset(candidate->header.position);
    const auto done = co_await disks_.read(slot, offset, bytes);
    if (!done.ok()) read_failed(slot, losses_before);
    if (!done.ok() || losses(slot) != losses_before) continue;
    auto decoded = format::decode_journal_batch(bytes);
    if (!decoded.ok() || decoded->header != candidate->header) {
      SQ_PROBE("journal copy torn or rotten");
      continue;
    }
    candidate->good.push_back(slot);
    if (candidate->good.size() == 1) candidate->records = std::move(decoded->records);
  }
  candidate->verified = true;
}

Result<> Lane::Impl::check_no_hole(LanePosition end) const {
  const auto claim = finder_->durable_claim();
  if (end >= claim || SQ_PLANTED("cut_hole")) return {};
  return Error{Code::kDataLoss, named("no valid copy of what lies from position ") +
                                    std::to_string(end.value) + " on, though everything below " +
                                    std::to_string(claim.value) + " was durable"};
}

}  // namespace square::journal
