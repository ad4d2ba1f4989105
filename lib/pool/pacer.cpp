#include "pool/pacer.hpp"

#include <algorithm>
#include <utility>

namespace square::pool {
namespace {

constexpr auto kBusyAfterCall = std::chrono::milliseconds(500);
constexpr auto kNap = std::chrono::milliseconds(20);  // so that a new pace and an end are felt

}  // namespace

Task<void> Pacer::hold_back(Pass* pass, std::uint64_t bytes, std::uint64_t share,
                            RepairStatus* status, std::function<bool()> over) {
  // Clients whose requests the pass itself holds up do not look idle for that.
  if (std::exchange(pass->client_calls, client_calls) != client_calls)
    pass->busy_until = loop_.now() + kBusyAfterCall;
  const auto rate = pace.override_bytes_per_s != 0   ? pace.override_bytes_per_s
                    : loop_.now() < pass->busy_until ? pace.floor_bytes_per_s / share
                                                     : 0;
  status->pace_bytes_per_s = rate;
  if (rate == 0) {
    pass->free_at = loop_.now();
    co_return;
  }
  const auto start = std::max(pass->free_at, loop_.now() - std::chrono::seconds(1));
  const auto cost =
      static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate));
  pass->free_at = start + env::Duration(cost);
  while (loop_.now() < pass->free_at && !over()) {
    if (pace.override_bytes_per_s != rate && pace.override_bytes_per_s != 0) break;
    co_await env::sleep_until(loop_, std::min(pass->free_at, loop_.now() + kNap));
  }
}

RepairStatus Pacer::estimate(const Pass& pass, RepairStatus status) const {
  const auto ns = (loop_.now() - pass.began).count();
  if (!status.active || ns <= 0) return status;
  const auto seconds = static_cast<double>(ns) / 1e9;
  status.bytes_per_s = static_cast<std::uint64_t>(static_cast<double>(status.done_bytes) / seconds);
  if (status.bytes_per_s > 0)
    status.eta_s =
        (status.total_bytes - std::min(status.total_bytes, status.done_bytes)) / status.bytes_per_s;
  return status;
}

}  // namespace square::pool
