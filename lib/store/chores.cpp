// What nobody asked for and yet goes through the log like a request. It has a task of its own: the
// background must never wait for the log, because it makes the room that the log waits for.
#include "store/engine_impl.hpp"

namespace square::store {

Task<void> Engine::Impl::chores() {
  while (!stopping_ && !core_.failed) {
    co_await chore_.wait();
    chore_.reset();
    if (stopping_ || core_.failed) break;
    const Visit visit(*this);
    for (auto& [id, each] : groups_) {
      ignore(co_await each->purge_expired(), "tried again at the next tick");
      ignore(co_await each->rewrite_some(core_.options.rewrite_bytes_per_s), "as before");
    }
  }
}

// What the cleaner cannot move out of the way is sealed anew here, because that goes through the
// log.
Task<void> Engine::Impl::trims() {
  while (!stopping_ && !core_.failed) {
    co_await trim_wanted_.wait();
    trim_wanted_.reset();
    if (stopping_ || core_.failed) break;
    if (!trim_) continue;
    const Visit visit(*this);
    std::size_t trimmed = 0;
    for (auto& [id, each] : groups_) {
      const auto done = co_await each->trim(trim_->extents);
      if (done.ok()) trimmed += *done;
    }
    if (trimmed == 0) untrimmable_.insert(trim_->segment);
    trim_.reset();
    skipped_.clear();
    core_.work.set();
  }
}

}  // namespace square::store
