#include "pool/member_disk.hpp"

#include <algorithm>

#include "base/planted.hpp"
#include "base/probe.hpp"
#include "pool/parallel.hpp"

namespace square::pool {
namespace {

// A request that was not answered in time has failed like any other: whoever asked goes on without
// the disk, and needs no case of its own.
Result<> as_io(Result<> result) {
  if (result.ok() || result.code() != Code::kTimeout) return result;
  return Error{Code::kIo, std::move(result).error().message};
}

std::vector<Async<>> of_both(Async<> one, Async<> other) {
  std::vector<Async<>> both;
  both.push_back(std::move(one));
  both.push_back(std::move(other));
  return both;
}

}  // namespace

Async<> MemberDisk::read(std::uint64_t offset, Buffer into) {
  if (failed_) co_return dead();
  const auto self = shared_from_this();
  const auto size = into.size();
  const auto began = loop_.now();
  auto result = co_await disk_->read(offset, std::move(into));
  times_.note(RequestKind::kRead, size, loop_.now() - began);
  if (result.ok()) co_return failed_ ? Result<>(dead()) : Result<>();
  ++read_errors;
  if (disk_->failed() || result.code() == Code::kTimeout) fail("read: " + result.error().message);
  co_return as_io(std::move(result)).context("disk " + path());
}

Async<> MemberDisk::write(std::uint64_t offset, BufferChain chain) {
  const auto self = shared_from_this();
  const Range range{offset, offset + total_size(chain)};
  const bool mirrored = !is_label(range);
  while (mirrored && range.overlaps(window_) && !SQ_PLANTED("window_overtaken")) {
    SQ_PROBE("a write waited for the window of a retirement");
    co_await moved_.wait();
  }
  const auto twin = mirrored ? twin_ : nullptr;
  writing_.push_back(range);
  Result<> result;
  if (twin) {
    ++twin->mirrored_;
    auto both =
        co_await run_all(loop_, of_both(write_here(offset, chain), twin->write(offset, chain)));
    --twin->mirrored_;
    result = std::move(both[0]);
    ignore(both[1], "the twin has failed, and is announced");
  } else {
    result = co_await write_here(offset, std::move(chain));
  }
  writing_.erase(std::ranges::find(writing_, range));
  moved_.pulse();
  co_return result;
}

Async<> MemberDisk::write_here(std::uint64_t offset, BufferChain chain) {
  if (failed_) co_return dead();
  const auto size = total_size(chain);
  const auto began = loop_.now();
  ++writes_in_flight_;
  auto result = co_await disk_->write(offset, std::move(chain));
  --writes_in_flight_;
  times_.note(RequestKind::kWrite, size, loop_.now() - began);
  if (result.ok()) co_return failed_ ? Result<>(dead()) : Result<>();
  ++write_errors;
  fail("write: " + result.error().message);
  co_return as_io(std::move(result)).context("disk " + path());
}

Async<> MemberDisk::flush() {
  if (failed_) co_return dead();
  const auto self = shared_from_this();
  if (!next_round_) {
    next_round_ = std::make_shared<FlushRound>(loop_);
    if (!flushing_) {
      flushing_ = true;
      scope_.spawn(run_flushes());
    }
  }
  const auto round = next_round_;
  co_await round->done.wait();
  if (round->result.ok() && failed_) co_return dead();
  co_return round->result;
}

Task<void> MemberDisk::run_flushes() {
  while (next_round_) {
    const auto round = std::exchange(next_round_, nullptr);
    round->result = co_await flush_once();
    // Before anybody is told: who hears of the error must find the disk failed.
    if (!round->result.ok()) fail("flush: " + round->result.error().message);
    round->done.set();
  }
  flushing_ = false;
}

Async<> MemberDisk::flush_once() {
  if (!twin_) co_return co_await flush_here();
  auto both = co_await run_all(loop_, of_both(flush_here(), twin_->flush()));
  ignore(both[1], "the twin has failed, and is announced");
  co_return std::move(both[0]);
}

Async<> MemberDisk::flush_here() {
  if (failed_) co_return dead();
  const auto began = loop_.now();
  ++writes_in_flight_;
  auto result = co_await disk_->flush();
  --writes_in_flight_;
  times_.note(RequestKind::kFlush, 0, loop_.now() - began);
  if (!result.ok() && SQ_PLANTED("fsync_retried")) {
    ignore(result, "planted bug");
    co_return Result<>();
  }
  if (!result.ok()) ++write_errors;
  co_return as_io(std::move(result)).context("disk " + path());
}

Task<void> MemberDisk::discard(std::uint64_t offset, std::uint64_t size) {
  if (failed_) co_return;
  const auto self = shared_from_this();
  ignore(co_await disk_->discard(offset, size), "only advice");
}

Async<> MemberDisk::check_path() {
  if (failed_) co_return dead();
  const auto self = shared_from_this();
  auto result = co_await disk_->check_path();
  if (!result.ok()) fail("path: " + result.error().message);
  co_return result;
}

Async<> MemberDisk::read_any_label() {
  Result<> result = Error{Code::kIo, "no label place"};
  for (const auto offset : label_offsets(size_bytes())) {
    result = co_await read(offset, Buffer::allocate(format::kLabelBytes));
    if (result.ok()) break;
  }
  co_return result;
}

void MemberDisk::fail(std::string why) {
  if (failed_) return;
  failed_ = true;
  why_ = std::move(why);
  disk_->fail(why_);
  loop_.post([self = shared_from_this()] {
    if (self->on_failed) self->on_failed(*self);
  });
}

Task<void> MemberDisk::join() {
  co_await scope_.join();
  on_failed = nullptr;
}

}  // namespace square::pool
