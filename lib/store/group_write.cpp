// Writing: from a client's bytes to sealed extents in the log.
#include "codec/checksum.hpp"
#include "store/group.hpp"
#include "store/request_checks.hpp"

namespace square::store {

using format::OperationType;

namespace {

constexpr std::uint32_t kSealInlineBytesMax = 128u << 10;  // above: about 50 us, a helper's work
constexpr std::uint64_t kHoleBytesMax = 256ull << 20;      // bounds one batch of the index
constexpr std::uint64_t kReserveSegments = 2;
constexpr std::uint64_t kReservePercent = 2;

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

// The extents that `content` is cut into, at multiples of the volume's extent size.
std::vector<std::uint32_t> extent_sizes(std::uint64_t offset, std::uint64_t size,
                                        std::uint32_t extent_bytes) {
  std::vector<std::uint32_t> sizes;
  for (std::uint64_t at = 0; at < size; at += sizes.back())
    sizes.push_back(static_cast<std::uint32_t>(
        std::min(size - at, extent_bytes - (offset + at) % extent_bytes)));
  return sizes;
}

struct SealJob {
  codec::ExtentIdentity identity;  // offset, length and index are set for each extent
  Buffer data;
  std::vector<std::uint64_t> ingest;
  std::vector<std::uint32_t> sizes;
  std::uint8_t frame_shift;
};

Result<std::vector<codec::SealedExtent>> seal_all(codec::Sealer& sealer,
                                                  const codec::SecretKey& key, KeyId key_id,
                                                  const SealJob& job) {
  std::vector<codec::SealedExtent> sealed;
  std::size_t at = 0;
  for (const auto size : job.sizes) {
    auto identity = job.identity;
    identity.offset += at;
    identity.plain_bytes = size;
    identity.id.index = static_cast<std::uint16_t>(sealed.size());
    const Bytes content[] = {job.data.bytes().subspan(at, size)};
    const auto hashes = std::span(job.ingest).subspan(at / kBlockBytes, size / kBlockBytes);
    SQ_TRY(auto extent, sealer.seal(key, key_id, identity, content, hashes, job.frame_shift));
    sealed.push_back(std::move(extent));
    at += size;
  }
  return sealed;
}

}  // namespace

Result<> Group::check_range(VolumeId volume, std::uint64_t offset, std::uint64_t length) const {
  SQ_TRY(const auto record, record_of(volume, std::nullopt));
  return check_range_within(record.size_bytes, offset, length);
}

// Client writes are refused first, so that destage, cleaning, drops and recovery always find room.
Result<> Group::check_room(std::uint64_t bytes) const {
  const auto room = core_.pool->room();
  const auto reserve =
      std::max(room.segment_bytes * kReserveSegments, room.capacity_bytes / 100 * kReservePercent);
  const auto promised = core_.write_buffer.used() + bytes;
  if (promised + promised / 8 + reserve <= room.free_fresh_bytes) return {};
  return Error{Code::kNoSpace, "the pool is full: " + std::to_string(room.free_fresh_bytes >> 20) +
                                   " MiB are left, and are kept for what is accepted already; "
                                   "delete volumes or snapshots, or add disks"};
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

Async<> Group::write_blocks(VolumeId volume, BlockContent content, RequestId request) {
  SQ_CO_TRY(const auto record, record_of(volume, std::nullopt));
  SQ_CO_TRY(const auto* key, core_.keys.data_key(record.key));
  SealJob job;
  job.sizes = extent_sizes(content.offset, content.data.size(), record.extent_bytes);
  job.frame_shift = core_.options.frame_shift;
  std::uint64_t stored_bytes = 0;
  std::uint32_t frames = 0;
  for (const auto size : job.sizes) {
    stored_bytes += codec::stored_size(size, job.frame_shift);
    frames += (size >> job.frame_shift) + 1;
  }

  SQ_CO_TRY(check_room(stored_bytes));
  SQ_CO_TRY(core_.check_journal());
  if (!core_.write_buffer.try_acquire(stored_bytes)) {
    core_.work.set();
    co_await core_.write_buffer.acquire(stored_bytes);
  }
  auto sealer = co_await seals_.borrow(frames);
  auto usable = sealer.ok() ? core_.alive() : Result<>(sealer.error());
  // Those that waited for the buffer together were each let in alone, and the pool fills meanwhile.
  if (usable.ok()) usable = check_room(0);
  // It may have been deleted meanwhile, and purged: nothing may be written into it after that.
  if (usable.ok()) usable = check_range(volume, content.offset, content.data.size());
  if (!usable.ok()) {
    core_.write_buffer.release(stored_bytes);
    co_return usable;
  }

  const auto logged = take_sequence(OperationType::kWrite, request);
  logged->stored_bytes = logged->held_bytes = stored_bytes;
  logged->direct = content.data.size() >= core_.options.direct_bytes_min;
  job.identity.cell = core_.cell_tag();
  job.identity.incarnation = incarnation_;
  job.identity.container = volume;
  job.identity.offset = content.offset;
  job.identity.id = {epoch_.number, logged->operation.sequence, 0};
  job.data = content.data;
  job.ingest = std::move(content.ingest);

  Result<std::vector<codec::SealedExtent>> sealed = std::vector<codec::SealedExtent>{};
  if (job.data.size() <= kSealInlineBytesMax) {
    sealed = seal_all(**sealer, *key, record.key, job);
  } else {
    auto& worker = **sealer;
    auto work = [&worker, key, key_id = record.key, &job] {
      return std::make_optional(seal_all(worker, *key, key_id, job));
    };
    auto result = co_await env::offload(core_.env.loop, std::move(work));
    sealed = std::move(*result);
  }
  {
    const auto give_back = std::move(*sealer);
  }

  if (!sealed.ok()) {
    // The sequence is taken and must be filled: with nothing.
    logged->operation.type = OperationType::kVoid;
    logged->operation.session = {};
    logged->operation.request = {};
    core_.write_buffer.release(std::exchange(logged->held_bytes, 0));
    logged->stored_bytes = 0;
    logged->direct = false;
    ready(logged);
    ignore(co_await committed(logged), "the caller is told why it was void");
    co_return std::move(sealed).error();
  }
  format::WriteBody body;
  body.volume = volume;
  std::uint64_t at = content.offset;
  for (auto& extent : *sealed) {
    body.extents.push_back({at, extent.ref});
    at += extent.ref.plain_bytes;
    logged->stored.push_back(std::move(extent.stored));
  }
  logged->operation.body = std::move(body);
  ready(logged);
  auto done = co_await committed(logged);
  if (done.ok()) {
    ++core_.stats.writes;
    core_.stats.written_bytes += content.data.size();
  }
  co_return done;
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
