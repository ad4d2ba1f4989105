#pragma once
// What the commands do; app.cpp says how they are called.

#include "client/cli/context.hpp"

namespace square::cli {

// ---- volumes (volumes.cpp)
struct VolumeCreate {
  std::string name;
  std::uint64_t size_bytes = 0, extent_bytes = 0;
  std::uint32_t group = 0;
};
Result<> volume_create(Context& context, const VolumeCreate& args);
// For what cannot be taken back: `expected` typed, or --yes. Errors: kDenied.
Result<> confirm(const Context& context, const std::string& question, const std::string& expected);
Result<> volume_ls(Context& context, bool deleted_too);
Result<> volume_show(Context& context, const std::string& name);
Result<> volume_resize(Context& context, const std::string& name, std::uint64_t size_bytes);
Result<> volume_rm(Context& context, const std::string& name);
Result<> volume_undelete(Context& context, const std::string& name);
Result<> volume_purge(Context& context, const std::string& name);
Result<> snapshot_create(Context& context, const std::vector<std::string>& volumes,
                         const std::string& name);
Result<> snapshot_ls(Context& context);
Result<> snapshot_rm(Context& context, const std::string& id);

// ---- content (content.cpp)
// What is read: the present, a snapshot, or a restore point of another node.
struct ReadPoint {
  std::string snapshot, point, from;
};
Result<> volume_import(Context& context, const std::string& name, const std::string& file);
Result<> volume_export(Context& context, const std::string& name, const std::string& file,
                       const ReadPoint& point);
Result<> volume_hash(Context& context, const std::string& name, const ReadPoint& point);
Result<> volume_write(Context& context, const std::string& name, std::uint64_t offset);
Result<> volume_read(Context& context, const std::string& name, std::uint64_t offset,
                     std::uint64_t length, const ReadPoint& point);
Result<> volume_trim(Context& context, const std::string& name, std::uint64_t offset,
                     std::uint64_t length);

// ---- the cell (cluster.cpp)
Result<> disk_ls(Context& context, const std::string& node);
Result<> disk_fail(Context& context, const std::string& node, std::uint32_t slot);
Result<> disk_add(Context& context, const std::string& node, const std::string& path);
Result<> disk_ok_to_pull(Context& context, const std::string& node, std::uint32_t slot);
Result<> disk_wipe(Context& context, const std::string& node, const std::string& path);
Result<> pool_status(Context& context, const std::string& node);
// `*exit`: 1 on any difference.
Result<> pool_check(Context& context, const std::string& node, int* exit);
Result<> pool_checkpoint(Context& context, const std::string& node);
Result<> status(Context& context);
// `*exit`: 7 degraded, 8 at risk.
Result<> health(Context& context, int* exit);
Result<> node_ls(Context& context);
Result<> group_ls(Context& context);

// ---- long operations (operations.cpp)
struct WaitFor {
  bool wait = false;
  std::uint64_t timeout_ns = 0;  // 0: as long as it takes
};
Result<> op_ls(Context& context, const std::string& node);
Result<> op_show(Context& context, const std::string& id);
// `*exit`: 1 when it failed or was cancelled, 124 when the time was over first.
Result<> op_wait(Context& context, const std::string& id, const WaitFor& wait, int* exit);
Result<> op_cancel(Context& context, const std::string& id);
// `*exit` as op_wait: 1 when what was found could not be repaired.
Result<> pool_scrub(Context& context, const std::string& node, const WaitFor& wait, int* exit);
Result<> disk_retire(Context& context, const std::string& node, std::uint32_t slot,
                     const WaitFor& wait, int* exit);
Result<> disk_replace(Context& context, const std::string& node, std::uint32_t slot,
                      const std::string& path, const WaitFor& wait, int* exit);
// Until it has ended, over restarts of its node; nothing when the time was over first.
Result<std::optional<v1::Operation>> follow(Context& context, const std::string& id,
                                            const WaitFor& wait);

}  // namespace square::cli
