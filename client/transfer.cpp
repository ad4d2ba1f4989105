#include "client/transfer.hpp"

#include <algorithm>
#include <cstring>
#include <deque>

namespace square::client {

namespace {

constexpr std::uint64_t kInFlight = 24;  // pieces
constexpr std::uint32_t kPieceBytes = format::wire::kPayloadBytesMax;

struct Writing {
  explicit Writing(env::Loop& loop) : slots(loop, kInFlight), scope(loop) {}
  env::Budget slots;
  Result<> first_error;
  env::Scope scope;
};

Task<void> write_piece(Core& core, VolumeId volume, Piece piece, Progress* progress,
                       Writing& state) {
  const auto done = piece.hole ? co_await core.zero(volume, piece.offset, piece.length)
                               : co_await core.write(volume, piece.offset, std::move(piece.data));
  if (done.ok()) progress->done_bytes += piece.length;
  if (!done.ok() && state.first_error.ok())
    state.first_error = Error(done.error()).context("at offset " + std::to_string(piece.offset));
  state.slots.release(1);
}

struct Reading {
  explicit Reading(env::Loop& loop) : ready(loop) {}
  Piece piece;
  Result<> result;
  env::Event ready;
};

Task<void> read_piece(Core& core, VolumeId volume, std::string snapshot,
                      std::shared_ptr<Reading> reading) {
  auto& piece = reading->piece;
  auto data = co_await core.read(volume, piece.offset, static_cast<std::uint32_t>(piece.length),
                                 std::move(snapshot));
  if (data.ok()) {
    piece.data = std::move(data).value();
  } else {
    reading->result = std::move(data).error().context("at offset " + std::to_string(piece.offset));
  }
  reading->ready.set();
}

// The pieces of [offset, end), looked up as the reading goes on.
class Runs {
 public:
  Runs(Core& core, VolumeId volume, std::uint64_t offset, std::uint64_t end, std::string snapshot)
      : core_(core), volume_(volume), at_(offset), end_(end), snapshot_(std::move(snapshot)) {}
  bool finished() const { return at_ == end_; }
  Async<Piece> next() {
    if (runs_.empty()) {
      SQ_CO_TRY(const auto runs,
                co_await core_.block_status(volume_, at_, end_ - at_, 1000, snapshot_));
      runs_.assign(runs.begin(), runs.end());
    }
    auto& run = runs_.front();
    Piece piece;
    piece.offset = at_;
    piece.hole = run.hole;
    piece.length = std::min(run.length, end_ - at_);
    if (!run.hole)
      piece.length = std::min<std::uint64_t>(piece.length, kPieceBytes - at_ % kPieceBytes);
    if (piece.length == 0) co_return Error{Code::kCorrupt, "the node answered an empty run"};
    run.length -= piece.length;
    if (run.length == 0) runs_.pop_front();
    at_ += piece.length;
    co_return piece;
  }

 private:
  Core& core_;
  VolumeId volume_;
  std::uint64_t at_, end_;
  std::string snapshot_;
  std::deque<StatusRun> runs_;
};

Async<> pump_out(env::Loop& loop, Core& core, VolumeId volume, Runs& runs, std::string snapshot,
                 const Sink& sink, Progress* progress, env::Scope& scope) {
  std::deque<std::shared_ptr<Reading>> window;
  while (!window.empty() || !runs.finished()) {
    while (window.size() < kInFlight && !runs.finished()) {
      auto reading = std::make_shared<Reading>(loop);
      SQ_CO_TRY(reading->piece, co_await runs.next());
      if (reading->piece.hole) {
        reading->ready.set();
      } else {
        scope.spawn(read_piece(core, volume, snapshot, reading));
      }
      window.push_back(std::move(reading));
    }
    const auto first = window.front();
    window.pop_front();
    co_await first->ready.wait();
    SQ_CO_TRY(first->result);
    std::function<std::optional<Error>()> take = [&sink, first]() -> std::optional<Error> {
      auto taken = sink(first->piece);
      if (taken.ok()) return std::nullopt;
      return taken.error();
    };
    if (auto error = co_await env::offload(loop, std::move(take))) co_return std::move(*error);
    progress->done_bytes += first->piece.length;
  }
  co_return {};
}

}  // namespace

bool all_zero(Bytes bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

Async<> copy_in(env::Loop& loop, Core& core, VolumeId volume, Source source, Progress* progress) {
  Writing state(loop);
  Result<> ended;
  while (state.first_error.ok()) {
    struct Next {
      std::optional<Piece> piece;
      std::optional<Error> error;
    };
    std::function<Next()> pull = [&source] {
      Next next;
      auto got = source();
      if (got.ok()) {
        next.piece = std::move(got).value();
      } else {
        next.error = std::move(got).error();
      }
      return next;
    };
    auto next = co_await env::offload(loop, std::move(pull));
    if (next.error) ended = std::move(*next.error);
    if (!next.piece) break;
    co_await state.slots.acquire(1);
    state.scope.spawn(write_piece(core, volume, std::move(*next.piece), progress, state));
  }
  co_await state.scope.join();
  SQ_CO_TRY(std::move(state.first_error));
  co_return ended;
}

Async<> copy_out(env::Loop& loop, Core& core, VolumeId volume, std::uint64_t offset,
                 std::uint64_t length, std::string snapshot, Sink sink, Progress* progress) {
  Runs runs(core, volume, offset, offset + length, snapshot);
  env::Scope scope(loop);
  auto result =
      co_await pump_out(loop, core, volume, runs, std::move(snapshot), sink, progress, scope);
  co_await scope.join();
  co_return result;
}

}  // namespace square::client
