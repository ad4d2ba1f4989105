#include "sim/env/sim_transport.hpp"

#include <algorithm>

namespace square::sim {
namespace {

constexpr std::size_t kWindowBytes = 1u << 20;  // sent and not yet read, before a writer waits

}  // namespace

// Both ends of one connection. Each holds it; packets under way hold it weakly.
struct SimStream {
  struct End {
    std::string process;
    SimLoop* loop = nullptr;  // null: closed, or its process is gone
    std::deque<ByteVector> arrived;
    std::size_t arrived_at = 0;  // read of the first
    std::size_t under_way = 0;   // bytes sent to this end and not yet read there
    bool peer_closed = false;
    bool reset = false;
    std::unique_ptr<env::Event> readable;
    std::unique_ptr<env::Event> writable;
  };
  End ends[2];

  void wake(int side) {
    auto& end = ends[side];
    if (end.loop == nullptr) return;
    end.readable->pulse();
    end.writable->pulse();
  }
  void set_reset(int side) {
    ends[side].reset = true;
    wake(side);
  }
};

class SimConnection final : public env::Connection {
 public:
  SimConnection(SimNet& net, SimLoop& loop, std::shared_ptr<SimStream> stream, int side,
                env::PeerIdentity peer)
      : net_(net), loop_(loop), stream_(std::move(stream)), side_(side), peer_(std::move(peer)) {
    auto& end = stream_->ends[side_];
    end.loop = &loop;
    end.readable = std::make_unique<env::Event>(loop);
    end.writable = std::make_unique<env::Event>(loop);
  }
  ~SimConnection() override {
    close();
    own().readable.reset();
    own().writable.reset();
  }

  const env::PeerIdentity& peer() const override { return peer_; }

  Async<std::size_t> read_some(MutableBytes into) override {
    const auto stream = stream_;
    auto& end = own();
    while (true) {
      if (end.loop == nullptr) co_return closed_here();
      if (!end.arrived.empty()) break;
      if (end.reset) co_return was_reset();
      if (end.peer_closed) co_return std::size_t{0};
      co_await end.readable->wait();
    }
    const auto& front = end.arrived.front();
    const auto size = std::min(into.size(), front.size() - end.arrived_at);
    std::memcpy(into.data(), front.data() + end.arrived_at, size);
    end.arrived_at += size;
    end.under_way -= size;
    if (end.arrived_at == front.size()) {
      end.arrived.pop_front();
      end.arrived_at = 0;
    }
    if (other().loop != nullptr) other().writable->pulse();
    co_return size;
  }

  Async<> write(BufferChain chain) override {
    const auto stream = stream_;  // this object may be gone after any wait
    auto& near = own();
    auto& far = other();
    auto& loop = loop_;
    for (const auto& part : chain) {
      for (std::size_t at = 0; at < part.size();) {
        while (near.loop != nullptr && !near.reset && far.under_way >= kWindowBytes)
          co_await near.writable->wait();
        if (near.loop == nullptr) co_return closed_here();
        if (near.reset) co_return was_reset();
        const auto size = std::min({kWindowBytes - far.under_way, part.size() - at, kPacketBytes});
        send(part.slice(at, size));
        at += size;
      }
    }
    co_await env::yield(loop);
    if (near.loop == nullptr) co_return closed_here();
    co_return {};
  }

  void close() override {
    auto& end = own();
    if (end.loop == nullptr) return;
    end.readable->pulse();
    end.writable->pulse();
    end.loop = nullptr;
    if (loop_.ending()) return;  // a crash says what its peers see
    const bool unread = !end.arrived.empty();
    tell_other([unread](SimStream& stream, int side) {
      if (unread) return stream.set_reset(side);
      stream.ends[side].peer_closed = true;
      stream.wake(side);
    });
  }

 private:
  static constexpr std::size_t kPacketBytes = 64u << 10;

  SimStream::End& own() { return stream_->ends[side_]; }
  SimStream::End& other() { return stream_->ends[1 - side_]; }
  static Error closed_here() { return {Code::kCancelled, "the connection was closed"}; }
  static Error was_reset() { return {Code::kUnavailable, "connection reset by peer"}; }

  void send(const Buffer& part) {
    other().under_way += part.size();
    const auto bytes = part.bytes();
    auto copy = std::make_shared<ByteVector>(bytes.begin(), bytes.end());
    net_.send(own().process, other().process, bytes.size(),
              [weak = std::weak_ptr(stream_), side = 1 - side_, copy, &net = net_] {
                const auto stream = weak.lock();
                if (stream == nullptr) return;
                auto& end = stream->ends[side];
                if (end.loop == nullptr || end.loop->ending()) {
                  if (net.answers(end.process)) net.reset_sender(*stream, side);
                  return;
                }
                end.arrived.push_back(std::move(*copy));
                stream->wake(side);
              });
  }

  void tell_other(std::function<void(SimStream&, int)> what) {
    net_.send(own().process, other().process, 64, [stream = stream_, side = 1 - side_, what] {
      if (stream->ends[side].loop != nullptr) what(*stream, side);
    });
  }

  SimNet& net_;
  SimLoop& loop_;
  std::shared_ptr<SimStream> stream_;
  int side_;
  env::PeerIdentity peer_;
};

class SimListener final : public env::Listener {
 public:
  SimListener(SimTransport& transport, std::string address)
      : transport_(transport), address_(std::move(address)), ready_(transport.loop_) {}
  ~SimListener() override { close(); }

  std::string address() const override { return address_; }
  Async<std::unique_ptr<env::Connection>> accept() override {
    while (open_ && waiting_.empty()) co_await ready_.wait();
    if (!open_) co_return Error{Code::kCancelled, "the listener was closed"};
    auto connection = std::move(waiting_.front());
    waiting_.pop_front();
    co_return std::unique_ptr<env::Connection>(std::move(connection));
  }
  void close() override {
    if (!open_) return;
    open_ = false;
    auto& listeners = transport_.net_.listeners_;
    const auto found = listeners.find(address_);
    if (found != listeners.end() && found->second == this) listeners.erase(found);
    waiting_.clear();
    ready_.pulse();
  }

  void arrive(std::unique_ptr<SimConnection> connection) {
    waiting_.push_back(std::move(connection));
    ready_.pulse();
  }
  SimTransport& transport() { return transport_; }

 private:
  SimTransport& transport_;
  std::string address_;
  bool open_ = true;
  std::deque<std::unique_ptr<SimConnection>> waiting_;
  env::Event ready_;
};

// ---- SimNet

SimNet::SimNet(SimWorld& world) : world_(world), rng_(world.rng().fork()) {}
SimNet::~SimNet() = default;

void SimNet::drop_all() {
  const auto actions = std::exchange(actions_, {});
  const auto held = std::exchange(held_, {});
}

void SimNet::later(std::int64_t at_ns, Action action) {
  actions_.emplace(++tokens_, std::move(action));
  world_.schedule(at_ns, *this, tokens_);
}

void SimNet::fire(std::uint64_t token) {
  auto found = actions_.extract(token);
  if (!found.empty()) found.mapped()();
}

void SimNet::send(const std::string& from, const std::string& to, std::uint64_t bytes,
                  Action arrive) {
  const Link link{from, to};
  if (cuts_.contains(link)) return held_[link].push_back(std::move(arrive));
  deliver(link, bytes, std::move(arrive));
}

void SimNet::deliver(const Link& link, std::uint64_t bytes, Action arrive) {
  auto delay =
      static_cast<std::int64_t>(rng_.between(static_cast<std::uint64_t>(link_.delay_min.count()),
                                             static_cast<std::uint64_t>(link_.delay_max.count())));
  if (const auto extra = extra_.find(link); extra != extra_.end()) delay += extra->second.count();
  auto& last = last_arrival_ns_[link];
  last = std::max(world_.now_ns() + delay, last);
  if (link_.bytes_per_s != 0)
    last += static_cast<std::int64_t>(bytes * 1'000'000'000 / link_.bytes_per_s);
  later(last, [this, link, arrive = std::move(arrive)]() mutable {
    if (cuts_.contains(link)) return held_[link].push_back(std::move(arrive));
    arrive();
  });
}

void SimNet::heal(const std::string& from, const std::string& to) {
  const Link link{from, to};
  cuts_.erase(link);
  const auto held = held_.extract(link);
  if (held.empty()) return;
  for (auto& arrive : held.mapped()) deliver(link, 0, std::move(arrive));
}

void SimNet::heal_all() {
  while (!cuts_.empty()) {
    const auto link = *cuts_.begin();
    heal(link.first, link.second);
  }
}

void SimNet::set_extra_delay(const std::string& from, const std::string& to, env::Duration delay) {
  extra_[{from, to}] = delay;
}

void SimNet::reset(const std::string& a, const std::string& b) {
  for (const auto& weak : streams_) {
    const auto stream = weak.lock();
    if (stream == nullptr) continue;
    const auto& first = stream->ends[0].process;
    const auto& second = stream->ends[1].process;
    if (!(first == a && second == b) && !(first == b && second == a)) continue;
    ++resets_;
    stream->set_reset(0);
    stream->set_reset(1);
  }
}

void SimNet::reset_sender(SimStream& stream, int side) {
  auto sender = std::weak_ptr<SimStream>();
  for (const auto& weak : streams_)
    if (weak.lock().get() == &stream) sender = weak;
  send(stream.ends[side].process, stream.ends[1 - side].process, 64, [sender, side] {
    if (const auto alive = sender.lock()) alive->set_reset(1 - side);
  });
}

void SimNet::process_is(const std::string& process, bool up) {
  if (up) {
    down_.erase(process);
  } else {
    down_.insert(process);
  }
}

void SimNet::process_killed(const std::string& process) {
  for (const auto& weak : streams_) {
    const auto stream = weak.lock();
    if (stream == nullptr) continue;
    for (int side = 0; side < 2; ++side)
      if (stream->ends[side].process == process) reset_sender(*stream, side);
  }
}

// ---- SimTransport

SimTransport::SimTransport(SimNet& net, SimLoop& loop, std::string process)
    : net_(net), loop_(loop), process_(std::move(process)) {
  identity_.subject = "node/" + process_;
  net_.process_is(process_, true);
}

Result<std::unique_ptr<env::Listener>> SimTransport::listen(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == address.npos || colon + 1 == address.size())
    return Error{Code::kInvalid, "'" + address + "' is not host:port"};
  auto full = address;
  if (address.substr(colon) == ":0")
    full = address.substr(0, colon + 1) + std::to_string(++net_.ports_);
  if (net_.listeners_.contains(full)) return Error{Code::kBusy, full + ": address in use"};
  auto listener = std::make_unique<SimListener>(*this, full);
  net_.listeners_[full] = listener.get();
  net_.owners_[full] = process_;
  return std::unique_ptr<env::Listener>(std::move(listener));
}

struct SimTransport::Attempt {
  explicit Attempt(SimLoop& loop) : decided(loop) {}
  env::Event decided;
  bool over = false;
  Result<std::unique_ptr<env::Connection>> outcome = Error{Code::kTimeout, "no answer"};
};

Async<std::unique_ptr<env::Connection>> SimTransport::connect(std::string address,
                                                              env::Duration timeout) {
  const auto colon = address.rfind(':');
  if (colon == address.npos || colon + 1 == address.size())
    co_return Error{Code::kInvalid, "'" + address + "' is not host:port"};
  const auto attempt = std::make_shared<Attempt>(loop_);
  const auto timer = loop_.add_timer(loop_.now() + timeout, [attempt] {
    attempt->over = true;
    attempt->decided.set();
  });
  const auto owner = net_.owners_.find(address);
  const auto to = owner == net_.owners_.end() ? std::string() : owner->second;
  net_.send(process_, to, 64, [this, attempt, address, to] { knock(attempt, address, to); });
  co_await attempt->decided.wait();
  loop_.cancel_timer(timer);
  attempt->over = true;
  co_return std::move(attempt->outcome).context(address);
}

// At the other side: somebody listens, or nobody does, or nobody is there to say so.
void SimTransport::knock(std::shared_ptr<Attempt> attempt, const std::string& address,
                         const std::string& to) {
  if (loop_.ending() || !net_.answers(to)) return;
  const auto found = net_.listeners_.find(address);
  if (found == net_.listeners_.end()) {
    net_.send(to, process_, 64, [this, attempt] {
      if (loop_.ending() || attempt->over) return;
      attempt->outcome = Error{Code::kUnavailable, "connection refused"};
      attempt->decided.set();
    });
    return;
  }
  auto& listener = *found->second;
  auto& theirs = listener.transport();
  auto stream = std::make_shared<SimStream>();
  stream->ends[0].process = process_;
  stream->ends[1].process = theirs.process_;
  std::erase_if(net_.streams_, [](const auto& weak) { return weak.expired(); });
  net_.streams_.push_back(stream);
  auto far = std::make_unique<SimConnection>(net_, theirs.loop_, stream, 1, identity_);
  auto near = std::make_shared<std::unique_ptr<SimConnection>>(
      std::make_unique<SimConnection>(net_, loop_, stream, 0, theirs.identity_));
  listener.arrive(std::move(far));
  net_.send(to, process_, 64, [this, attempt, near] {
    if (loop_.ending() || attempt->over) return;
    attempt->outcome = std::unique_ptr<env::Connection>(std::move(*near));
    attempt->decided.set();
  });
}

void SimTransport::crashed(bool power_loss) {
  std::erase_if(net_.listeners_, [&](const auto& l) { return &l.second->transport() == this; });
  net_.process_is(process_, !power_loss);
  if (!power_loss) net_.process_killed(process_);
}

}  // namespace square::sim
