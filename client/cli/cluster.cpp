#include <cstdio>
#include <iostream>

#include "base/units.hpp"
#include "client/cli/commands.hpp"
#include "client/cli/progress.hpp"
#include "client/cli/shapes.hpp"

namespace square::cli {

using Stub = v1::Control::Stub;

namespace {

constexpr std::chrono::seconds kLongCall = std::chrono::hours(2);

v1::NodeName named(const std::string& node) {
  v1::NodeName request;
  request.set_node(node);
  return request;
}

v1::DiskRequest disk_at(const std::string& node, std::uint32_t slot) {
  v1::DiskRequest request;
  request.set_node(node);
  request.set_slot(slot);
  return request;
}

v1::AddDiskRequest disk_path(const std::string& node, const std::string& path) {
  v1::AddDiskRequest request;
  request.set_node(node);
  request.set_path(path);
  return request;
}

// "[####....] 42 %, 90 MiB/s, 3 s left"; for what does not run, how much it went through.
std::string repair_text(const v1::Repair& repair) {
  if (!repair.active())
    return repair.total_bytes() == 0 ? "-" : size_text(repair.done_bytes()) + " done";
  return bar_text(repair.done_bytes(), repair.total_bytes()) + ", " +
         size_text(repair.bytes_per_s()) + "/s, " + std::to_string(repair.eta_s()) + " s left";
}

}  // namespace

Result<> confirm(const Context& context, const std::string& question, const std::string& expected) {
  if (context.globals().yes) return {};
  std::fprintf(stderr, "%s\ntype \"%s\" to go on: ", question.c_str(), expected.c_str());
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == expected) return {};
  return Error{Code::kDenied, "not confirmed; nothing was done"};
}

Result<> disk_ls(Context& context, const std::string& node) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto list, admin->look(&Stub::ListDisks, named(node)));
  context.show(shapes(list.disks()),
               {"node", "slot", "state", "path", "size_bytes", "live_bytes", "why"});
  return {};
}

Result<> disk_fail(Context& context, const std::string& node, std::uint32_t slot) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(admin->change(&Stub::FailDisk, disk_at(node, slot)));
  context.show(Json{{"node", node}, {"slot", slot}, {"state", "failed"}});
  return {};
}

Result<> disk_add(Context& context, const std::string& node, const std::string& path) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(admin->change(&Stub::AddDisk, disk_path(node, path)));
  context.show(Json{{"node", node}, {"path", path}, {"state", "spare"}});
  context.say("pool.disks in the node's configuration must name it too, for the next start");
  return {};
}

Result<> disk_ok_to_pull(Context& context, const std::string& node, std::uint32_t slot) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(admin->look(&Stub::OkToPullDisk, disk_at(node, slot)));
  context.show(Json{{"node", node}, {"slot", slot}, {"ok", true}});
  return {};
}

Result<> disk_wipe(Context& context, const std::string& node, const std::string& path) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto list, admin->look(&Stub::ListDisks, named(node)));
  auto expected = path;  // its uuid, where the node knows it
  for (const auto& disk : list.disks())
    if (disk.path() == path && !disk.uuid().empty()) expected = disk.uuid();
  SQ_TRY(
      confirm(context, "everything on " + path + " of node " + node + " will be gone", expected));
  SQ_TRY(admin->change(&Stub::WipeDisk, disk_path(node, path)));
  context.show(Json{{"node", node}, {"path", path}, {"state", "wiped"}});
  return {};
}

Result<> pool_status(Context& context, const std::string& node) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto pool, admin->look(&Stub::PoolStatus, named(node)));
  auto row = shape(pool);
  if (!context.globals().json) {
    row["rebuild"] = repair_text(pool.rebuild());
    row["scrub"] = repair_text(pool.scrub());
    row["corruptions"] = std::to_string(pool.corruptions_found()) + " found, " +
                         std::to_string(pool.corruptions_repaired()) + " repaired";
  }
  context.show(Json::array({row}),
               {"node", "redundancy", "members_live", "members_missing", "spares_free",
                "capacity_bytes", "free_bytes", "rebuild", "scrub", "corruptions"});
  if (!context.globals().json)
    for (const auto& volume : pool.lost_volumes())
      context.say("lost: " + std::to_string(volume.bytes()) + " bytes of volume " + volume.name() +
                  " in " + std::to_string(volume.ranges()) + " ranges (--json names them)");
  return {};
}

Result<> pool_check(Context& context, const std::string& node, int* exit) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto check, admin->call(&Stub::CheckPool, named(node), false, kLongCall));
  const bool clean = check.differences().empty();
  if (!clean) *exit = kExitFailed;
  context.show(Json{{"clean", clean}, {"differences", check.differences()}});
  return {};
}

Result<> pool_checkpoint(Context& context, const std::string& node) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(admin->call(&Stub::Checkpoint, named(node), true, kLongCall));
  context.show(Json{{"state", "done"}});
  return {};
}

Result<> status(Context& context) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto report, admin->look(&Stub::Health));
  SQ_TRY(const auto nodes, admin->look(&Stub::ListNodes));
  SQ_TRY(const auto groups, admin->look(&Stub::ListGroups));
  SQ_TRY(const auto pool, admin->look(&Stub::PoolStatus));
  SQ_TRY(const auto disks, admin->look(&Stub::ListDisks));
  SQ_TRY(const auto volumes, admin->look(&Stub::ListVolumes));
  auto document = shape(report);
  document["nodes"] = shapes(nodes.nodes());
  document["groups"] = shapes(groups.groups());
  document["pools"] = Json::array({shape(pool)});
  document["disks"] = shapes(disks.disks());
  document["volumes"] = shapes(volumes.volumes());
  if (context.globals().json) {
    context.show(document);
    return {};
  }
  std::printf("health: %s\n", report.health().c_str());
  for (const auto& check : document["checks"])
    std::printf("  %s  %s\n    do: %s\n", check["code"].get<std::string>().c_str(),
                check["summary"].get<std::string>().c_str(),
                check["action"].get<std::string>().c_str());
  std::fputs("\n", stdout);
  context.show(document["nodes"]);
  std::fputs("\n", stdout);
  context.show(document["pools"], {"node", "redundancy", "members_live", "spares_free",
                                   "capacity_bytes", "free_bytes", "corruptions_found"});
  std::fputs("\n", stdout);
  context.show(document["disks"], {"slot", "state", "path", "live_bytes", "why"});
  std::fputs("\n", stdout);
  context.show(document["volumes"], {"name", "size_bytes", "used_bytes", "state"});
  return {};
}

Result<> health(Context& context, int* exit) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto report, admin->look(&Stub::Health));
  const auto document = shape(report);
  if (report.health() == "degraded") *exit = kExitDegraded;
  if (report.health() == "at_risk") *exit = kExitAtRisk;
  if (context.globals().json) {
    context.show(document);
    return {};
  }
  std::printf("%s\n", report.health().c_str());
  if (!document["checks"].empty())
    context.show(document["checks"], {"severity", "code", "summary", "action", "since"});
  return {};
}

Result<> node_ls(Context& context) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto list, admin->look(&Stub::ListNodes));
  context.show(shapes(list.nodes()));
  return {};
}

Result<> group_ls(Context& context) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto list, admin->look(&Stub::ListGroups));
  context.show(shapes(list.groups()),
               {"group", "epoch", "primary", "replica", "in_sync", "sequence"});
  return {};
}

}  // namespace square::cli
