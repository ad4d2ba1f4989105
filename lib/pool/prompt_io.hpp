#pragma once
// Writes that one slow disk does not hold: what is much later than its peers usually take is left
// to itself, and the disk is set aside.

#include <functional>
#include <map>
#include <memory>

#include "env/sync.hpp"
#include "pool/members.hpp"

namespace square::pool {

class PromptIo {
 public:
  PromptIo(env::Loop& loop, std::shared_ptr<Members> members)
      : loop_(loop), members_(std::move(members)), scope_(loop) {}

  // Runs a write or a flush of the disk in `slot`; of a write that has not begun when the slot is
  // set aside, nothing is done. Errors: as `work`; kIo when it is late and the slot is set aside:
  // `work` then goes on by itself, its memory stays until it ends, and the slot gets nothing new
  // before that. Where no more members can be spared, it waits for `work` as long as that takes.
  Async<> run(Slot slot, RequestKind kind, std::uint64_t size_bytes, Async<> work);
  // Called before a late call returns.
  std::function<void(Slot)> on_aside;
  // What was late has ended. Nobody may call anything any more.
  Task<void> join() { co_await scope_.join(); }

 private:
  struct Request {
    explicit Request(env::Loop& loop) : changed(loop) {}
    Result<> result;
    bool ended = false, overdue = false;
    env::Event changed;  // pulsed
  };
  using RequestPtr = std::shared_ptr<Request>;
  static Task<void> carry(RequestPtr request, Async<> work);
  Task<bool> wait(Slot slot, RequestPtr request);
  bool set_aside(Slot slot);

  env::Loop& loop_;
  std::shared_ptr<Members> members_;
  std::multimap<Slot, RequestPtr> waiting_;
  env::Scope scope_;
};

}  // namespace square::pool
