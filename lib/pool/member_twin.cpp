// A member's content on its way to the disk that takes its place.

#include <algorithm>

#include "base/probe.hpp"
#include "pool/member_disk.hpp"

namespace square::pool {

bool MemberDisk::is_label(const Range& range) const {
  return range.begin < kLabelAreaBytes || range.end > size_bytes() - kLabelAreaBytes;
}

bool MemberDisk::being_written(const Range& range) const {
  return std::ranges::any_of(writing_, [&](const Range& write) { return write.overlaps(range); });
}

void MemberDisk::attach_twin(std::shared_ptr<MemberDisk> twin) {
  SQ_CHECK(!twin_ && twin.get() != this, "a member has one twin");
  twin_ = std::move(twin);
}

Async<std::uint64_t> MemberDisk::copy_to_twin(std::uint64_t offset, std::uint32_t size) {
  const auto self = shared_from_this();
  const auto twin = twin_;
  if (!twin) co_return Error{Code::kIo, "disk " + path() + " has no twin"};
  ++twin->mirrored_;
  window_ = {offset, offset + size};
  while (being_written(window_)) co_await moved_.wait();
  const auto bytes = Buffer::allocate(size);
  auto unreadable = co_await read_blocks(offset, bytes);
  if (unreadable.ok() && twin_ != twin) unreadable = Error{Code::kIo, "the twin was let go"};
  if (unreadable.ok()) {
    BufferChain chain{bytes};
    const auto written = co_await twin->write(offset, std::move(chain));
    if (!written.ok()) unreadable = written.error();
  }
  window_ = {};
  moved_.pulse();
  --twin->mirrored_;
  co_return unreadable;
}

// As a whole; where that fails, block by block, so that one bad sector costs no more than its own.
Async<std::uint64_t> MemberDisk::read_blocks(std::uint64_t offset, Buffer into) {
  const auto whole = co_await read(offset, into);
  if (whole.ok()) co_return std::uint64_t{0};
  std::uint64_t unreadable = 0;
  for (std::size_t at = 0; at < into.size() && !failed_; at += kBlockBytes) {
    auto block = into.slice(at, std::min<std::size_t>(kBlockBytes, into.size() - at));
    if ((co_await read(offset + at, block)).ok()) continue;
    SQ_PROBE("a block of a disk that is retired could not be read");
    std::ranges::fill(std::span(into.data() + at, block.size()), std::byte{0});
    ++unreadable;
  }
  if (failed_) co_return dead();
  co_return unreadable;
}

}  // namespace square::pool
