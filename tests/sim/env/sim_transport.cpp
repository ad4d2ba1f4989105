#include "sim/env/sim_transport.hpp"

namespace square::sim {

SimNet::SimNet(SimWorld& world) : world_(world), rng_(world.rng().fork()) {}
SimNet::~SimNet() = default;
void SimNet::fire(std::uint64_t) {}

SimTransport::SimTransport(SimNet& net, SimLoop& loop, std::string process)
    : net_(net), loop_(loop), process_(std::move(process)) {}
Result<std::unique_ptr<env::Listener>> SimTransport::listen(const std::string& address) {
  return Error{Code::kDenied, address};
}
Async<std::unique_ptr<env::Connection>> SimTransport::connect(std::string address, env::Duration) {
  co_return Error{Code::kUnavailable, address};
}
void SimTransport::crashed(bool) {}

}  // namespace square::sim
