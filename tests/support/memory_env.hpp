#pragma once
// A loop on virtual time and byte pipes, for tests of what speaks over connections. It goes on
// while something is ready, then jumps to the next timer.

#include <algorithm>
#include <deque>
#include <map>
#include <memory>

#include "env/sync.hpp"
#include "env/transport.hpp"

namespace square::test {

class ManualLoop final : public env::Loop {
 public:
  env::BootTime now() const override { return now_; }
  env::WallTime wall() const override { return {now_.ns}; }
  void post(std::coroutine_handle<> handle) override {
    ready_.push_back([handle] { handle.resume(); });
  }
  void post(Callback callback) override { ready_.push_back(std::move(callback)); }
  void post_from_any_thread(Callback callback) override { post(std::move(callback)); }
  TimerId add_timer(env::BootTime at, Callback callback) override {
    timers_[{at.ns, ++last_timer_}] = std::move(callback);
    return {last_timer_};
  }
  void cancel_timer(TimerId id) override {
    std::erase_if(timers_, [&](const auto& timer) { return timer.first.second == id.value; });
  }
  void run_on_helper(Callback work, Callback done) override {
    post([work = std::move(work), done = std::move(done)] { work(), done(); });
  }
  bool ending() const override { return false; }

  // False: nothing can happen any more.
  bool step() {
    if (ready_.empty()) {
      if (timers_.empty()) return false;
      const auto first = timers_.begin();
      now_.ns = std::max(now_.ns, first->first.first);
      ready_.push_back(std::move(first->second));
      timers_.erase(first);
    }
    auto next = std::move(ready_.front());
    ready_.pop_front();
    next();
    return true;
  }
  // Runs until `task` has ended, and gives what it gave.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    env::Scope scope(*this);
    scope.spawn(keep(std::move(task), &value));
    while (!value) SQ_CHECK(step(), "the task waits for something that never comes");
    while (scope.size() != 0) SQ_CHECK(step());
    return std::move(*value);
  }
  void run(Task<void> task) { run(with_value(std::move(task))); }
  void run_for(env::Duration duration) { run(env::sleep_for(*this, duration)); }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await task);
  }
  static Task<bool> with_value(Task<void> task) {
    co_await task;
    co_return true;
  }
  std::deque<Callback> ready_;
  std::map<std::pair<std::int64_t, std::uint64_t>, Callback> timers_;
  std::uint64_t last_timer_ = 0;
  env::BootTime now_{1'000'000'000};
};

// One direction of a connection.
struct Pipe {
  explicit Pipe(env::Loop& loop) : changed(loop) {}
  std::deque<std::byte> bytes;
  bool ended = false;
  std::size_t room = SIZE_MAX;  // bytes that still go in; 0 stalls the writer
  env::Event changed;
};

class MemoryConnection final : public env::Connection {
 public:
  MemoryConnection(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, env::PeerIdentity peer)
      : in_(std::move(in)), out_(std::move(out)), peer_(std::move(peer)) {}
  ~MemoryConnection() override { end(); }
  const env::PeerIdentity& peer() const override { return peer_; }
  Async<std::size_t> read_some(MutableBytes into) override {
    while (in_->bytes.empty() && !in_->ended && !closed_) {
      in_->changed.reset();
      co_await in_->changed.wait();
    }
    if (closed_) co_return Error{Code::kCancelled, "closed here"};
    const auto size = std::min(into.size(), in_->bytes.size());
    std::copy_n(in_->bytes.begin(), size, into.begin());
    in_->bytes.erase(in_->bytes.begin(), in_->bytes.begin() + static_cast<std::ptrdiff_t>(size));
    co_return size;
  }
  Async<> write(BufferChain chain) override {
    for (const auto& buffer : chain)
      for (const auto byte : buffer.bytes()) {
        while (out_->room == 0 && !closed_ && !out_->ended) {
          out_->changed.reset();
          co_await out_->changed.wait();
        }
        if (closed_) co_return Error{Code::kCancelled, "closed here"};
        if (out_->ended) co_return Error{Code::kUnavailable, "reset by the peer"};
        --out_->room;
        out_->bytes.push_back(byte);
      }
    out_->changed.set();
    co_return {};
  }
  void close() override {
    closed_ = true;
    end();
  }

 private:
  void end() {
    for (auto& pipe : {in_, out_}) {
      pipe->ended = true;
      pipe->changed.set();
    }
  }
  std::shared_ptr<Pipe> in_, out_;
  env::PeerIdentity peer_;
  bool closed_ = false;
};

// One address; whoever listens gets what connects.
class MemoryTransport final : public env::Transport {
 public:
  explicit MemoryTransport(env::Loop& loop) : loop_(loop), arrived_(loop) {}

  Result<std::unique_ptr<env::Listener>> listen(const std::string& address) override {
    listening_ = true;
    return std::unique_ptr<env::Listener>(std::make_unique<Port>(*this, address));
  }
  Async<std::unique_ptr<env::Connection>> connect(std::string address, env::Duration) override {
    ++connects;
    if (!listening_ || refuse_next > 0) {
      if (refuse_next > 0) --refuse_next;
      co_return Error{Code::kUnavailable, address + ": connection refused"};
    }
    co_return connect_now();
  }
  std::unique_ptr<env::Connection> connect_now() {
    const auto up = std::make_shared<Pipe>(loop_), down = std::make_shared<Pipe>(loop_);
    down->room = room_down;
    last_up = up, last_down = down;
    waiting_.push_back(std::make_unique<MemoryConnection>(up, down, identity));
    arrived_.set();
    return std::make_unique<MemoryConnection>(down, up, env::PeerIdentity{});
  }
  // The network drops everything that is on its way.
  void cut_last() {
    for (auto& pipe : {last_up, last_down}) {
      pipe->bytes.clear();
      pipe->ended = true;
      pipe->changed.set();
    }
  }

  env::PeerIdentity identity;  // what clients show
  int refuse_next = 0, connects = 0;
  std::size_t room_down = SIZE_MAX;
  std::shared_ptr<Pipe> last_up, last_down;

 private:
  class Port final : public env::Listener {
   public:
    Port(MemoryTransport& transport, std::string address)
        : transport_(transport), address_(std::move(address)) {}
    std::string address() const override { return address_; }
    Async<std::unique_ptr<env::Connection>> accept() override {
      while (transport_.waiting_.empty() && !closed_) {
        transport_.arrived_.reset();
        co_await transport_.arrived_.wait();
      }
      if (closed_) co_return Error{Code::kCancelled, "closed"};
      std::unique_ptr<env::Connection> next = std::move(transport_.waiting_.front());
      transport_.waiting_.pop_front();
      co_return next;
    }
    void close() override {
      closed_ = true;
      transport_.listening_ = false;
      transport_.arrived_.set();
    }

   private:
    MemoryTransport& transport_;
    std::string address_;
    bool closed_ = false;
  };
  env::Loop& loop_;
  env::Event arrived_;
  std::deque<std::unique_ptr<MemoryConnection>> waiting_;
  bool listening_ = false;
};

}  // namespace square::test
