#include "client/cli/shapes.hpp"

#include "base/units.hpp"

namespace square::cli {

namespace {

Json shape(const v1::Repair& repair) {
  return {{"active", repair.active()},
          {"done_bytes", repair.done_bytes()},
          {"total_bytes", repair.total_bytes()},
          {"bytes_per_s", repair.bytes_per_s()},
          {"eta_s", repair.eta_s()},
          {"stripes_lost", repair.stripes_lost()}};
}

std::string redundancy(const v1::Pool& pool) {
  const auto members = pool.k() + pool.m();
  if (pool.members_live() >= members) return pool.segments_thin() == 0 ? "full" : "degraded";
  if (pool.members_live() > pool.k()) return "degraded";
  return pool.members_live() == pool.k() ? "at_risk" : "lost";
}

}  // namespace

Json shape(const v1::Volume& v) {
  Json row{{"name", v.name()},
           {"id", v.id()},
           {"size_bytes", v.size_bytes()},
           {"used_bytes", v.used_bytes()},
           {"extent_bytes", v.extent_bytes()},
           {"group", v.group()},
           {"state", v.state()}};
  if (v.purge_ns() != 0) row["undelete_until"] = rfc3339(v.purge_ns());
  return row;
}

Json shape(const v1::Snapshot& s) {
  auto volumes = Json::array();
  for (const auto& volume : s.volumes()) volumes.push_back(volume);
  return {{"id", s.id()},
          {"name", s.name()},
          {"time", rfc3339(s.wall_ns())},
          {"group", s.group()},
          {"volumes", std::move(volumes)}};
}

Json shape(const v1::Disk& d) {
  return {{"node", d.node()},
          {"slot", d.slot()},
          {"uuid", d.uuid()},
          {"path", d.path()},
          {"state", d.state()},
          {"why", d.why()},
          {"size_bytes", d.size_bytes()},
          {"live_bytes", d.live_bytes()},
          {"errors",
           {{"read", d.read_errors()}, {"write", d.write_errors()}, {"corrupt", d.corruptions()}}}};
}

static Json lost_of(const v1::Pool& p) {
  auto volumes = Json::array(), ranges = Json::array();
  for (const auto& volume : p.lost_volumes())
    volumes.push_back({{"id", volume.id()},
                       {"name", volume.name()},
                       {"ranges", volume.ranges()},
                       {"bytes", volume.bytes()}});
  for (const auto& range : p.lost_ranges())
    ranges.push_back({{"volume", range.volume()},
                      {"snapshot", range.snapshot()},
                      {"offset", range.offset()},
                      {"length", range.length()}});
  return {{"volumes", std::move(volumes)}, {"ranges", std::move(ranges)}};
}

Json shape(const v1::Pool& p) {
  return {{"node", p.node()},
          {"members_live", p.members_live()},
          {"members_missing", p.members_missing()},
          {"spares_free", p.spares_free()},
          {"redundancy", redundancy(p)},
          {"data_disks", p.k()},
          {"parity_disks", p.m()},
          {"segments_thin", p.segments_thin()},
          {"capacity_bytes", p.capacity_bytes()},
          {"free_bytes", p.free_bytes()},
          {"rebuild", shape(p.rebuild())},
          {"scrub", shape(p.scrub())},
          {"corruptions_found", p.corruptions_found()},
          {"corruptions_repaired", p.corruptions_repaired()},
          {"lost", lost_of(p)}};
}

Json shape(const v1::HealthReport& report) {
  auto checks = Json::array();
  for (const auto& check : report.checks())
    checks.push_back({{"code", check.code()},
                      {"severity", check.severity()},
                      {"summary", check.summary()},
                      {"action", check.action()},
                      {"since", rfc3339(check.since_ns())}});
  return {{"health", report.health()}, {"checks", std::move(checks)}};
}

Json shape(const v1::Node& n) {
  return {{"node", n.node()},   {"role", n.role()},       {"state", n.state()},
          {"epoch", n.epoch()}, {"address", n.address()}, {"version", n.version()}};
}

Json shape(const v1::Group& g) {
  // No replica: in sync or not is no question.
  return {{"group", g.group()},
          {"epoch", g.epoch()},
          {"primary", g.primary()},
          {"replica", nullptr},
          {"in_sync", nullptr},
          {"sequence", g.sequence()},
          {"replica_sequence", nullptr},
          {"resync", {{"active", false}, {"done_bytes", 0u}, {"total_bytes", 0u}}}};
}

Json shape(const v1::Operation& o) {
  return {{"operation", o.id()},
          {"kind", o.kind()},
          {"node", o.node()},
          {"state", o.state()},
          {"message", o.message()},
          {"began", rfc3339(o.began_ns())},
          {"ended", o.ended_ns() == 0 ? Json(nullptr) : Json(rfc3339(o.ended_ns()))},
          {"restarts", o.restarts()},
          {"done_bytes", o.done_bytes()},
          {"total_bytes", o.total_bytes()},
          {"corruptions_found", o.corruptions_found()},
          {"corruptions_repaired", o.corruptions_repaired()},
          {"stripes_lost", o.stripes_lost()}};
}

}  // namespace square::cli
