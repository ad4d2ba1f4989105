#pragma once
// Writers that found no room in the pool wait here, in the order in which they came, for the
// cleaner to make it. They hold nothing but their lock on the range: not the write buffer, which
// those who make the room may need.
//
//   enter() --fits--> let in: promised --entered()--> holds write buffer, and is counted there
//      |                 ^
//      +-- waits --------+--- refused: cleaning gains nothing any more, or its time is over

#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "base/result.hpp"
#include "env/sync.hpp"

namespace square::store {

class RoomGate {
 public:
  // Is there room for `bytes` beside all that was promised before?
  using Fits = std::function<bool(std::uint64_t bytes)>;

  explicit RoomGate(env::Loop& loop) : loop_(loop) {}
  void set_fits(Fits fits) { fits_ = std::move(fits); }

  // Ok: the bytes are promised until entered() is called for them. `on_wait` is called when it has
  // to wait. Whoever has been here before says since when he waits, and is the next. Errors: what
  // refuse...() or close() gave.
  Async<> enter(std::uint64_t bytes, const std::function<void()>& on_wait,
                std::optional<env::BootTime> since = std::nullopt);
  void entered(std::uint64_t bytes) { promised_ -= bytes; }

  std::uint64_t promised() const { return promised_; }
  std::size_t waiting() const { return waiting_.size(); }

  // There may be room now: lets in as many from the front as fit.
  void let_in();
  // No more room will come: lets in what fits, however far behind, and refuses the rest.
  void refuse_unfit(const Error& error);
  // Refuses those that have waited since then or longer.
  void refuse_since(env::BootTime then, const Error& error);
  // Refuses all, and whoever comes later.
  void close(const Error& error);

 private:
  struct Waiting {
    Waiting(env::Loop& loop, std::uint64_t size, env::BootTime from)
        : bytes(size), since(from), ended(loop) {}
    std::uint64_t bytes;
    env::BootTime since;
    env::Event ended;
    Result<> result;
  };
  using Place = std::list<std::shared_ptr<Waiting>>::iterator;
  Place end(Place place, Result<> result);

  env::Loop& loop_;
  Fits fits_;
  std::uint64_t promised_ = 0;
  std::list<std::shared_ptr<Waiting>> waiting_;
  std::optional<Error> closed_;
};

}  // namespace square::store
