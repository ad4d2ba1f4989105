// Long operations: the node does them, a command follows them.
#include <algorithm>
#include <cstdio>
#include <thread>

#include "client/cli/commands.hpp"
#include "client/cli/progress.hpp"
#include "client/cli/shapes.hpp"

namespace square::cli {

using Stub = v1::Control::Stub;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto kPollPause = std::chrono::milliseconds(200);
constexpr auto kRetryPause = std::chrono::seconds(1);
constexpr auto kSilencePatience = std::chrono::minutes(10);  // of a node that is restarted

v1::OperationName named(const std::string& id) {
  v1::OperationName request;
  request.set_id(id);
  return request;
}

bool may_pass(const Error& error) {
  return error.code == Code::kUnavailable || error.code == Code::kTimeout;
}

Clock::time_point end_of(const WaitFor& wait) {
  if (wait.timeout_ns == 0) return Clock::time_point::max();
  return Clock::now() + std::chrono::nanoseconds(static_cast<std::int64_t>(wait.timeout_ns));
}

}  // namespace

Result<std::optional<v1::Operation>> follow(Context& context, const std::string& id,
                                            const WaitFor& wait) {
  SQ_TRY(auto* admin, context.admin());
  const auto end = end_of(wait);
  client::Progress progress;
  ProgressLine line(id, progress);
  auto heard = Clock::now();
  for (bool silent = false;;) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(
        std::min<Clock::duration>(end - std::min(end, Clock::now()), std::chrono::seconds(60)));
    const auto now = admin->call(&Stub::ShowOperation, named(id), false,
                                 std::max(left, std::chrono::seconds(1)));
    if (now.ok() && now->state() != "running") {
      line.end();
      return std::optional(*now);
    }
    if (now.ok()) {
      heard = Clock::now();
      silent = false;
      progress.done_bytes = now->done_bytes();
      progress.total_bytes = now->total_bytes();
      line.update();
    } else if (!may_pass(now.error()) || Clock::now() - heard > kSilencePatience) {
      return now.error();
    } else if (!std::exchange(silent, true)) {
      std::fprintf(stderr, "the node does not answer; the operation goes on when it is back\n");
    }
    const auto pause = now.ok() ? Clock::duration(kPollPause) : Clock::duration(kRetryPause);
    if (Clock::now() + pause > end) {
      line.end();
      return std::optional<v1::Operation>();
    }
    std::this_thread::sleep_for(pause);
  }
}

Result<> op_ls(Context& context, const std::string& node) {
  SQ_TRY(auto* admin, context.admin());
  v1::NodeName request;
  request.set_node(node);
  SQ_TRY(const auto list, admin->look(&Stub::ListOperations, request));
  auto rows = shapes(list.operations());
  if (!context.globals().json)
    for (auto& row : rows)
      row["progress"] = row["state"] == "running"
                            ? bar_text(row["done_bytes"].get<std::uint64_t>(),
                                       row["total_bytes"].get<std::uint64_t>())
                            : "-";
  context.show(rows, {"operation", "node", "state", "began", "ended", "progress", "message"});
  return {};
}

Result<> op_show(Context& context, const std::string& id) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto operation, admin->look(&Stub::ShowOperation, named(id)));
  context.show(shape(operation));
  return {};
}

Result<> op_wait(Context& context, const std::string& id, const WaitFor& wait, int* exit) {
  SQ_TRY(const auto ended, follow(context, id, wait));
  if (!ended) {
    *exit = kExitWaited;
    context.show(Json{{"operation", id}, {"state", "running"}});
    return {};
  }
  *exit = ended->state() == "done" ? 0 : kExitFailed;
  context.show(shape(*ended));
  return {};
}

Result<> op_cancel(Context& context, const std::string& id) {
  SQ_TRY(auto* admin, context.admin());
  SQ_TRY(const auto operation, admin->change(&Stub::CancelOperation, named(id)));
  context.show(shape(operation));
  return {};
}

namespace {

Result<> begun(Context& context, const v1::Operation& operation, const WaitFor& wait, int* exit) {
  if (!wait.wait) {
    context.show(Json{
        {"operation", operation.id()}, {"node", operation.node()}, {"state", operation.state()}});
    return {};
  }
  if (!context.globals().json) std::fprintf(stderr, "operation %s\n", operation.id().c_str());
  return op_wait(context, operation.id(), wait, exit);
}

}  // namespace

Result<> pool_scrub(Context& context, const std::string& node, const WaitFor& wait, int* exit) {
  SQ_TRY(auto* admin, context.admin());
  v1::NodeName request;
  request.set_node(node);
  SQ_TRY(const auto operation, admin->change(&Stub::StartScrub, request));
  return begun(context, operation, wait, exit);
}

Result<> disk_retire(Context& context, const std::string& node, std::uint32_t slot,
                     const WaitFor& wait, int* exit) {
  SQ_TRY(auto* admin, context.admin());
  v1::DiskRequest request;
  request.set_node(node);
  request.set_slot(slot);
  SQ_TRY(const auto operation, admin->change(&Stub::RetireDisk, request));
  return begun(context, operation, wait, exit);
}

Result<> disk_replace(Context& context, const std::string& node, std::uint32_t slot,
                      const std::string& path, const WaitFor& wait, int* exit) {
  SQ_TRY(auto* admin, context.admin());
  v1::ReplaceDiskRequest request;
  request.set_node(node);
  request.set_slot(slot);
  request.set_path(path);
  SQ_TRY(const auto operation, admin->change(&Stub::ReplaceDisk, request));
  if (!path.empty())
    context.say("pool.disks in the node's configuration must name " + path +
                " too, for the next start");
  return begun(context, operation, wait, exit);
}

}  // namespace square::cli
