#pragma once
// What the data plane asks of a node. The daemon binds it to the engine; tests bind a map.

#include "base/buffer.hpp"
#include "base/task.hpp"
#include "format/wire.hpp"

namespace square::access {

// Requests arrive checked: right shape, tenant allowed, volume opened on this connection by this
// tenant. Ranges are not checked. Errors as store::Engine.
class DataService {
 public:
  virtual ~DataService() = default;
  virtual Async<SessionId> open_session(format::wire::OpenSession request) = 0;
  virtual Async<> end_session(format::wire::EndSession request) = 0;
  // Errors: kNotFound, also for a volume of another tenant.
  virtual Async<format::wire::VolumeOpened> open_volume(format::wire::OpenVolume request) = 0;
  virtual Async<> write(format::wire::Write request, Buffer data) = 0;
  virtual Async<Buffer> read(format::wire::Read request) = 0;
  virtual Async<> zero(format::wire::Zero request) = 0;
  virtual Async<std::vector<format::wire::StatusRun>> block_status(
      format::wire::BlockStatus request) = 0;
};

}  // namespace square::access
