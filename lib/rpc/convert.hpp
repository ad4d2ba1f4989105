#pragma once
// The engine's structs as messages.

#include <square/v1/control.pb.h>
#include "access/control_service.hpp"

namespace square::rpc {

void fill(const store::VolumeInfo& volume, v1::Volume& out);
void fill(const store::SnapshotView& snapshot, v1::Snapshot& out);
void fill(const std::string& node, const pool::DiskStatus& disk, v1::Disk& out);
void fill(const std::string& node, const pool::PoolStatus& pool,
          const std::vector<pool::DiskStatus>& disks, v1::Pool& out);
void fill(const store::Losses& losses, v1::Pool& out);
void fill(const std::string& node, const format::LongOperation& operation, v1::Operation& out);
void fill(const access::HealthCheck& check, v1::HealthCheck& out);
void fill(const access::NodeView& node, v1::Node& out);

}  // namespace square::rpc
