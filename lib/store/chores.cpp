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

}  // namespace square::store
