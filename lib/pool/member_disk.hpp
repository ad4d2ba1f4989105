#pragma once
// One disk of the pool, as long as it is good. Its first failure that matters (a write, a flush, a
// deadline, a path that names another file) is its last: from then on every call gives kIo, and the
// failure is announced once, from the loop.
//
// A member that is retired has a twin: its writes and flushes, but those of labels, go to both and
// end when both have ended. An error of the twin is the twin's alone.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/disk.hpp"
#include "env/sync.hpp"
#include "format/label.hpp"
#include "pool/layout.hpp"
#include "pool/usual_time.hpp"

namespace square::pool {

class MemberDisk : public std::enable_shared_from_this<MemberDisk> {
 public:
  MemberDisk(env::Loop& loop, std::unique_ptr<env::Disk> disk)
      : loop_(loop), disk_(std::move(disk)), moved_(loop), scope_(loop) {}

  std::function<void(MemberDisk&)> on_failed;

  const std::string& path() const { return disk_->info().path; }
  std::uint64_t size_bytes() const { return disk_->info().size_bytes; }
  bool failed() const { return failed_; }
  const std::string& why() const { return why_; }

  // A failed read leaves the disk alive: one bad sector is the business of parity. A deadline that
  // has passed does not.
  Async<> read(std::uint64_t offset, Buffer into);
  Async<> write(std::uint64_t offset, BufferChain chain);
  // Shared: at most one flush runs and one waits, and a caller waits for one that began after its
  // call.
  Async<> flush();
  // Advice; errors do not matter.
  Task<void> discard(std::uint64_t offset, std::uint64_t size);
  Async<> check_path();
  // One of the places of its labels can still be read. Errors: kIo.
  Async<> read_any_label();
  void fail(std::string why);

  // From here on this disk is its twin; at most one in a life.
  void attach_twin(std::shared_ptr<MemberDisk> twin);
  // The twin gets nothing any more but what is on its way.
  void detach_twin() { twin_ = nullptr; }
  const std::shared_ptr<MemberDisk>& twin() const { return twin_; }
  // Makes the twin hold what this disk holds in that range. Writes that overlap it are waited for,
  // those that began before the twin came too, and new ones wait. Blocks that cannot be read are
  // zeros on the twin: their count. One call at a time. Errors: kIo (the twin takes no writes, or
  // there is none any more; or this disk has failed).
  Async<std::uint64_t> copy_to_twin(std::uint64_t offset, std::uint32_t size);

  // Own tasks are over. Nobody may call anything any more.
  Task<void> join();

  // What its copies hold now, by the last read or write of each: 0 where none is valid.
  std::array<std::uint64_t, kLabelCopies> label_copies{};
  format::Label label;

  std::uint64_t read_errors = 0, write_errors = 0, corruptions = 0;

  // As a twin: something that another disk passes on is under way to it, also after it was let go.
  bool mirrors() const { return mirrored_ > 0; }

  const RequestTimes& times() const { return times_; }
  std::size_t writes_in_flight() const { return writes_in_flight_; }  // and flushes

 private:
  struct FlushRound {
    explicit FlushRound(env::Loop& loop) : done(loop) {}
    env::Event done;
    Result<> result;
  };
  struct Range {
    std::uint64_t begin = 0, end = 0;
    bool overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
    bool operator==(const Range&) const = default;
  };
  Async<> write_here(std::uint64_t offset, BufferChain chain);
  Async<> flush_here();
  bool is_label(const Range& range) const;
  Async<std::uint64_t> read_blocks(std::uint64_t offset, Buffer into);
  bool being_written(const Range& range) const;
  Task<void> run_flushes();
  Async<> flush_once();
  Error dead() const { return {Code::kIo, "disk " + path() + ": failed before: " + why_}; }

  env::Loop& loop_;
  std::unique_ptr<env::Disk> disk_;
  bool failed_ = false;
  std::string why_;
  RequestTimes times_;
  std::size_t writes_in_flight_ = 0;
  std::vector<Range> writing_;  // of writes in flight
  Range window_;                // that the twin is being given; empty when it is none
  env::Event moved_;            // pulsed when a write has ended, and when the window goes on
  std::shared_ptr<MemberDisk> twin_;
  std::size_t mirrored_ = 0;
  bool flushing_ = false;
  std::shared_ptr<FlushRound> next_round_;
  env::Scope scope_;
};

using MemberDiskPtr = std::shared_ptr<MemberDisk>;

}  // namespace square::pool
