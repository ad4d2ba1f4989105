#pragma once
// Byte streams between simulated processes.
//
// Network model. A stream delivers its bytes in order, once, unchanged, each write after the delay
// of its link and no faster than its bandwidth, or it is reset. A cut link (one way) holds
// what is sent, as TCP does, until it is healed: nothing is lost, all of it late. A killed process
// resets its streams; one that lost its power says nothing, and its peers learn of it only when
// they send after it is back, or by their own deadlines.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "env/sync.hpp"
#include "env/transport.hpp"
#include "sim/env/sim_loop.hpp"

namespace square::sim {

class SimListener;
class SimConnection;
class SimTransport;
struct SimStream;

struct LinkOptions {
  env::Duration delay_min = std::chrono::microseconds(50);
  env::Duration delay_max = std::chrono::microseconds(200);
  std::uint64_t bytes_per_s = 1'250'000'000;
};

// What connects the processes of one world. Processes are known by name.
class SimNet final : public EventTarget {
 public:
  explicit SimNet(SimWorld& world);
  ~SimNet() override;

  void set_link(LinkOptions options) { link_ = options; }
  // From now on nothing of `from` reaches `to`, until healed.
  void cut(const std::string& from, const std::string& to) { cuts_.insert({from, to}); }
  void heal(const std::string& from, const std::string& to);
  void heal_all();
  // Resets all streams between the two.
  void reset(const std::string& a, const std::string& b);
  // Everything from `from` to `to` takes so much longer.
  void set_extra_delay(const std::string& from, const std::string& to, env::Duration delay);
  void drop_all();  // what is under way is gone: the world ends
  std::uint64_t resets() const { return resets_; }

  void fire(std::uint64_t token) override;

 private:
  friend class SimConnection;
  friend class SimListener;
  friend class SimTransport;
  using Action = std::function<void()>;
  using Link = std::pair<std::string, std::string>;

  // Runs `arrive` when a packet sent now gets there; held while the link is cut.
  void send(const std::string& from, const std::string& to, std::uint64_t bytes, Action arrive);
  void deliver(const Link& link, std::uint64_t bytes, Action arrive);
  // Somebody is there to answer, if only with a reset: false while its machine has no power.
  bool answers(const std::string& process) const { return !down_.contains(process); }
  void reset_sender(SimStream& stream, int side);
  void process_is(const std::string& process, bool up);
  void process_killed(const std::string& process);
  void later(std::int64_t at_ns, Action action);

  SimWorld& world_;
  Rng rng_;
  LinkOptions link_;
  std::uint64_t resets_ = 0;
  std::uint64_t tokens_ = 0;
  std::map<std::uint64_t, Action> actions_;
  std::set<Link> cuts_;
  std::map<Link, env::Duration> extra_;
  std::map<Link, std::int64_t> last_arrival_ns_;  // packets of one link keep their order
  std::map<Link, std::deque<Action>> held_;
  std::map<std::string, SimListener*> listeners_;
  std::map<std::string, std::string> owners_;  // address to the process that listened there last
  std::set<std::string> down_;
  std::vector<std::weak_ptr<SimStream>> streams_;
  std::uint64_t ports_ = 40000;
};

// The Transport of one run of one process.
class SimTransport final : public env::Transport {
 public:
  SimTransport(SimNet& net, SimLoop& loop, std::string process);
  Result<std::unique_ptr<env::Listener>> listen(const std::string& address) override;
  Async<std::unique_ptr<env::Connection>> connect(std::string address,
                                                  env::Duration timeout) override;
  // Whom peers see; by default the subject "node/NAME".
  void set_identity(env::PeerIdentity identity) { identity_ = std::move(identity); }
  void crashed(bool power_loss);

 private:
  friend class SimListener;
  friend class SimConnection;
  struct Attempt;
  void knock(std::shared_ptr<Attempt> attempt, const std::string& address, const std::string& to);

  SimNet& net_;
  SimLoop& loop_;
  std::string process_;
  env::PeerIdentity identity_;
};

}  // namespace square::sim
