// Writing: from a client's bytes to sealed extents in the log.
#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "store/request_checks.hpp"
#include "store/seal_job.hpp"

namespace square::store {

using format::OperationType;

namespace {

constexpr std::uint64_t kHoleBytesMax = 256ull << 20;  // bounds one batch of the index

std::uint64_t round_down(std::uint64_t value) { return value / kBlockBytes * kBlockBytes; }

// Calls `visit(offset in data, size)` for each part of [offset, offset + size) cut at block
// borders.
template <class Visit>
void for_each_part(std::uint64_t offset, std::uint64_t size, Visit visit) {
  for (std::uint64_t at = 0; at < size;) {
    const auto part = std::min(size - at, kBlockBytes - (offset + at) % kBlockBytes);
    visit(at, part);
    at += part;
  }
}

std::size_t part_count(std::uint64_t offset, std::uint64_t size) {
  return (align_up(offset + size, kBlockBytes) - round_down(offset)) / kBlockBytes;
}

// Cut at multiples of the volume's extent size.
std::vector<BlockContent> extents_of(const BlockContent& content, std::uint32_t extent_bytes) {
  std::vector<BlockContent> extents;
  for (std::uint64_t at = 0; at < content.data.size();) {
    const auto size =
        std::min(content.data.size() - at, extent_bytes - (content.offset + at) % extent_bytes);
    const auto first = content.ingest.begin() + static_cast<std::ptrdiff_t>(at / kBlockBytes);
    extents.push_back({content.offset + at,
                       content.data.slice(at, size),
                       {first, first + static_cast<std::ptrdiff_t>(size / kBlockBytes)}});
    at += size;
  }
  return extents;
}

}  // namespace

Result<> Group::check_range(VolumeId volume, std::uint64_t offset, std::uint64_t length) const {
  SQ_TRY(const auto record, record_of(volume, std::nullopt));
  return check_range_within(record.size_bytes, offset, length);
}

// Runs `function` once for a request, however often it is sent. The table is asked before anything
// else: a request that was done is done, whatever has become of the volume since.
template <class Function>
Async<> Group::once(RequestId request, Function function) {
  auto begun = sessions_.begin(request);
  switch (begun.verdict) {
    case Sessions::Verdict::kDone: co_return {};
    case Sessions::Verdict::kUnknown:
      co_return Error{Code::kOutcomeUnknown,
                      "the request's session is not known here (any more): it may have been done"};
    case Sessions::Verdict::kUnderWay:
      co_await begun.flight->ended.wait();
      co_return *begun.flight->result;
    case Sessions::Verdict::kNew: break;
  }
  auto work = function();
  auto result = co_await work;
  sessions_.end(request, begun.flight, result);
  co_return result;
}

Async<> Group::write(VolumeId volume, std::uint64_t offset, Buffer data,
                     std::vector<std::uint64_t> ingest, RequestId request) {
  SQ_CO_TRY(core_.alive());
  if (data.size() > format::kOperationBytesMax)
    co_return Error{Code::kInvalid, "a write carries at most 1 MiB"};
  auto work = [&] { return write_locked(volume, offset, data, std::move(ingest), request); };
  co_return co_await once(request, work);
}

Async<> Group::write_locked(VolumeId volume, std::uint64_t offset, Buffer data,
                            std::vector<std::uint64_t> ingest, RequestId request) {
  SQ_CO_TRY(check_range(volume, offset, data.size()));
  if (ingest.size() != part_count(offset, data.size()))
    co_return Error{Code::kInvalid, "a write needs one hash for each 4 KiB block it touches"};
  const bool whole = offset % kBlockBytes == 0 && data.size() % kBlockBytes == 0;
  const auto mode = whole ? RangeLocks::Mode::kShared : RangeLocks::Mode::kAlone;
  const auto lock = co_await locks_.lock(volume, offset, data.size(), mode);
  BlockContent content{offset, data, std::move(ingest)};
  if (!whole) {
    SQ_CO_TRY(content, co_await whole_blocks(volume, offset, data, std::move(content.ingest)));
  }
  co_return co_await write_blocks(volume, std::move(content), request);
}

// Merges a request that covers its first or last block only in part with what is there. The caller
// holds the blocks alone.
Async<BlockContent> Group::whole_blocks(VolumeId volume, std::uint64_t offset, Buffer data,
                                        std::vector<std::uint64_t> ingest) {
  BlockContent whole;
  whole.offset = round_down(offset);
  const auto end = align_up(offset + data.size(), kBlockBytes);
  whole.data = Buffer::allocate(end - whole.offset);
  SQ_CO_TRY(const auto record, record_of(volume, std::nullopt));
  SQ_CO_TRY(co_await read_blocks(volume, record.key, whole.offset,
                                 whole.data.bytes().subspan(0, kBlockBytes), std::nullopt));
  if (whole.data.size() > kBlockBytes) {
    const auto last = whole.data.size() - kBlockBytes;
    SQ_CO_TRY(co_await read_blocks(volume, record.key, whole.offset + last,
                                   whole.data.bytes().subspan(last), std::nullopt));
  }
  std::size_t part = 0;
  bool intact = true;
  for_each_part(offset, data.size(), [&](std::uint64_t at, std::uint64_t size) {
    const auto bytes = data.bytes().subspan(at, size);
    intact = intact && codec::checksum64(bytes) == ingest[part++];
    std::memcpy(whole.data.data() + (offset - whole.offset) + at, bytes.data(), size);
  });
  if (!intact) co_return Error{Code::kCorrupt, "the data differs from the hash that came with it"};
  for (std::size_t at = 0; at < whole.data.size(); at += kBlockBytes)
    whole.ingest.push_back(codec::checksum64(whole.data.bytes().subspan(at, kBlockBytes)));
  co_return whole;
}

// Room in the pool, and of the write buffer.
Async<> Group::take_room(std::uint64_t bytes) {
  const auto began = core_.env.loop.now();
  const auto tell = [this] { core_.work.set(); };
  for (bool again = false;; again = true) {
    SQ_CO_TRY(co_await core_.room.enter(bytes, tell, again ? std::optional(began) : std::nullopt));
    if (!core_.write_buffer.try_acquire(bytes)) {
      core_.work.set();
      co_await core_.write_buffer.acquire(bytes);
    }
    core_.room.entered(bytes);
    const auto alive = core_.alive();
    if (alive.ok() && core_.still_has_room(RoomFor::kClients)) co_return {};
    SQ_PROBE("room that was promised was gone");
    core_.write_buffer.release(bytes);
    SQ_CO_TRY(alive);
  }
}

Async<> Group::write_blocks(VolumeId volume, BlockContent content, RequestId request) {
  SQ_CO_TRY(const auto record, record_of(volume, std::nullopt));
  SealJob job;
  job.volume = volume;
  job.key = record.key;
  job.request = request;
  job.frame_shift = core_.options.frame_shift;
  for (auto& extent : extents_of(content, record.extent_bytes)) job.add(std::move(extent));
  SQ_CO_TRY(core_.check_journal());
  SQ_CO_TRY(co_await take_room(job.stored_bytes));
  SQ_CO_TRY(co_await seal_and_log(std::move(job)));
  ++core_.stats.writes;
  core_.stats.written_bytes += content.data.size();
  co_return {};
}

Async<> Group::zero(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                    RequestId request) {
  SQ_CO_TRY(core_.alive());
  auto work = [&] { return zero_range(volume, offset, length, request); };
  co_return co_await once(request, work);
}

// Whole blocks become holes; a block that is covered only in part is merged with zeros. The request
// number goes with the last operation: until that is durable, a retry does all of it again.
Async<> Group::zero_range(VolumeId volume, std::uint64_t offset, std::uint64_t length,
                          RequestId request) {
  SQ_CO_TRY(check_range(volume, offset, length));
  const auto end = offset + length;
  const auto first = align_up(offset, kBlockBytes);  // whole blocks: [first, last)
  const auto last = round_down(end);
  const bool whole = offset == first && end == last;
  const auto mode = whole ? RangeLocks::Mode::kShared : RangeLocks::Mode::kAlone;
  const auto lock = co_await locks_.lock(volume, offset, length, mode);

  struct Edge {
    std::uint64_t offset, length;
  };
  std::vector<Edge> edges;
  if (first > last) {
    edges.push_back({offset, length});  // inside one block
  } else {
    if (offset < first) edges.push_back({offset, first - offset});
    if (last < end) edges.push_back({last, end - last});
  }
  const bool hole = first < last;
  bool begun = false;  // some of it is done: an error does not undo it
  const auto outcome = [&begun](Result<> done) -> Result<> {
    if (done.ok()) {
      begun = true;
    } else if (begun && done.code() != Code::kOutcomeUnknown) {
      return Error{Code::kOutcomeUnknown, "zeroed in part: " + done.error().message};
    }
    return done;
  };
  for (std::size_t i = 0; i < edges.size(); ++i) {
    auto zeros = Buffer::zeroed(edges[i].length);
    std::vector<std::uint64_t> ingest{codec::checksum64(zeros.bytes())};
    auto content = co_await whole_blocks(volume, edges[i].offset, zeros, std::move(ingest));
    if (!content.ok()) co_return outcome(std::move(content).error());
    const bool final_one = !hole && i + 1 == edges.size();
    SQ_CO_TRY(outcome(
        co_await write_blocks(volume, *std::move(content), final_one ? request : RequestId{})));
  }
  if (!hole) co_return {};
  for (auto at = first; at < last; at += std::min(kHoleBytesMax, last - at)) {
    const auto size = std::min(kHoleBytesMax, last - at);
    const auto with = at + size == last ? request : RequestId{};
    Draft draft{OperationType::kHole, format::HoleBody{volume, at, size}, with};
    const auto logged = co_await log(std::move(draft));
    SQ_CO_TRY(outcome(logged.ok() ? Result<>() : logged.error()));
    ++core_.stats.holes;
  }
  co_return {};
}

}  // namespace square::store
