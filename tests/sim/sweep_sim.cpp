// The sweep: for each kind of operation, and for each disk call that it makes: that call fails
// once; its disk is gone from then on; the power fails, with all, none or some of what was not
// flushed; the process is killed. Afterwards everything acknowledged reads back, at once, after
// another power loss, and after one that took the index.
//
//   sweep_sim --seeds 1:4 [--operation NAME] [--trace]    each seed takes another part of the cases
//   sweep_sim --all                                       every case
//
// Each case is a process of its own, forked from one that stands just before the operation.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/probe.hpp"
#include "sim/engine/sweep_stage.hpp"

using namespace square;
using namespace square::sim;

namespace {

constexpr std::uint64_t kParts = 64;  // a seed takes one of so many cases
constexpr std::uint64_t kStageSeed = 7;

using Outcome = SweepStage::Outcome;
struct Operation {
  const char* name;
  std::function<void(SweepStage&)> prepare;
  std::function<Outcome(SweepStage&)> run;
};

// Content in the journal, in stripes and in the index, with a snapshot below part of it.
void fill(SweepStage& stage) {
  stage.write(0, 256);
  stage.write(3, 20);
  stage.checkpoint();
  stage.snapshot();
  stage.write(512, 512);
  stage.write(64, 8);
  stage.write(131, 5);
}

void lose_a_disk(SweepStage& stage) {
  fill(stage);
  stage.checkpoint();
  stage.node().medium(1).set_vanished(true);
}

void rot(SweepStage& stage) {
  fill(stage);
  stage.checkpoint();
  stage.node().medium(2).rot(5, 300);
}

bool whole(SweepStage& stage) { return stage.engine().pool().status().members_missing == 0; }

// Nothing is being filled, and nothing can be.
bool settled(SweepStage& stage) {
  const auto status = stage.engine().pool().status();
  return !status.rebuild.active && (status.members_missing == 0 || status.spares_free == 0);
}

Outcome start(SweepStage& stage) {
  auto started = stage.node().start();
  if (started && started->ok()) return Outcome(Result<>());
  return started;
}

Outcome scrub_and_clean(SweepStage& stage) {
  if (auto started = stage.engine().pool().start_scrub(); !started.ok()) return started;
  const auto& pool = stage.engine().pool();
  auto ended = stage.try_until([&] { return !pool.status().scrub.active; });
  if (!ended || !ended->ok()) return ended;
  // What lay in damaged segments is moved, and a checkpoint gives their room back.
  return stage.try_task(stage.engine().checkpoint());
}

std::vector<Operation> operations() {
  return {
      {"small", fill, [](auto& s) { return s.try_write(1200, 8); }},
      {"unaligned", fill, [](auto& s) { return s.try_write(5, 12); }},
      {"direct", fill, [](auto& s) { return s.try_write(700, 512); }},
      {"zero", fill, [](auto& s) { return s.try_zero(101, 300); }},
      {"create", fill,
       [](auto& s) {
         store::CreateVolume request;
         request.name = "another";
         request.size_bytes = 1u << 20;
         return s.try_task(s.engine().create_volume(request));
       }},
      {"resize", fill,
       [](auto& s) { return s.try_task(s.engine().resize_volume(s.volume(), 2u << 20)); }},
      {"delete", fill,
       [](auto& s) {
         s.volume_may_be_deleted();
         auto done = s.try_task(s.engine().delete_volume(s.volume()));
         return done && done->ok() ? s.try_task(s.engine().undelete_volume(s.volume())) : done;
       }},
      {"snapshot", fill,
       [](auto& s) { return s.try_task(s.engine().create_snapshot({s.volume()}, "t")); }},
      {"drop", fill,
       [](auto& s) {
         s.snapshot_may_be_gone();
         return s.try_task(s.engine().drop_snapshot(s.snapshot_id()));
       }},
      {"checkpoint", fill, [](auto& s) { return s.try_task(s.engine().checkpoint()); }},
      {"rebuild", lose_a_disk,
       [](auto& s) {
         // Noticed within a second, then replaced and filled.
         auto seen = s.try_until([&] { return !whole(s); });
         return seen && seen->ok() ? s.try_until([&] { return settled(s); }) : seen;
       }},
      {"scrub", rot, scrub_and_clean},
      {"start",
       [](auto& s) {
         fill(s);
         s.power_loss();
       },
       start},
      {"start_without_index",
       [](auto& s) {
         fill(s);
         s.node().crash(CrashKind::kKill, 0);
       },
       start},
  };
}

enum class Fault { kOnce, kForGood, kPowerAll, kPowerNone, kPowerSome, kKill };
constexpr std::array kFaults{Fault::kOnce,      Fault::kForGood,   Fault::kPowerAll,
                             Fault::kPowerNone, Fault::kPowerSome, Fault::kKill};
constexpr std::array kFaultNames{"fails once",      "is the last of its disk", "power, all kept",
                                 "power, all lost", "power, some are torn",    "kill"};

void arm(SweepStage& stage, std::uint64_t call, Fault fault) {
  auto kind = DiskFault::kCrash;
  if (fault == Fault::kOnce) kind = DiskFault::kIoError;
  if (fault == Fault::kForGood) kind = DiskFault::kVanished;
  if (fault == Fault::kKill) kind = DiskFault::kKill;
  CrashOdds odds;
  if (fault == Fault::kPowerAll) odds = {1'000'000, 0};
  if (fault == Fault::kPowerNone) odds = {0, 1'000'000};
  for (std::size_t i = 0; i < stage.node().paths().size(); ++i)
    stage.node().medium(i).set_crash_odds(odds);
  stage.plan().arm({kind, call, kAnyOp, false});
}

// Nothing, or what was wrong.
std::optional<std::string> try_case(SweepStage& stage, const Operation& operation,
                                    std::uint64_t call, Fault fault) {
  arm(stage, call, fault);
  const auto done = operation.run(stage);
  stage.plan().disarm();
  const bool may_crash = fault != Fault::kOnce && fault != Fault::kForGood;
  if (!done && !may_crash) return "the process ended";
  // One disk, in any way: nobody may notice.
  if (done && !done->ok()) return "it failed: " + done->error().message;
  if (!done)
    if (auto wrong = stage.crash_and_start(CrashKind::kKill, false)) return wrong;
  if (auto wrong = stage.verify()) return *wrong;
  for (const bool index_lost : {false, true}) {
    const std::string when = index_lost ? "without its index: " : "after a power loss: ";
    if (auto wrong = stage.crash_and_start(CrashKind::kPowerLoss, index_lost)) return when + *wrong;
    if (auto wrong = stage.verify()) return when + *wrong;
  }
  return std::nullopt;
}

// Runs `work` in a process of its own; its number, and false when it ended in any other way.
std::pair<bool, std::uint64_t> in_child(const std::function<std::uint64_t()>& work) {
  int ends[2];
  SQ_CHECK(pipe(ends) == 0);
  std::fflush(nullptr);
  const auto child = fork();
  SQ_CHECK(child >= 0, "fork");
  if (child == 0) {
    close(ends[0]);
    const std::uint64_t number = work();
    std::fflush(nullptr);
    _exit(write(ends[1], &number, sizeof number) == sizeof number ? 0 : 1);
  }
  close(ends[1]);
  std::uint64_t number = 0;
  const bool said = read(ends[0], &number, sizeof number) == sizeof number;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {said && WIFEXITED(status) && WEXITSTATUS(status) == 0, number};
}

struct Arguments {
  std::uint64_t first = 1, count = 1;
  bool all = false;
  std::string operation;
};

Arguments parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (flag == "--all") {
      out.all = true;
    } else if (flag == "--operation") {
      out.operation = value();
    } else if (flag == "--seeds") {
      const auto text = value();
      char* rest = nullptr;
      out.first = std::strtoull(text.c_str(), &rest, 10);
      out.count = *rest == ':' ? std::strtoull(rest + 1, nullptr, 10) : 1;
    } else {
      std::fprintf(stderr, "sweep_sim: unknown argument '%s'\n", flag.c_str());
      std::exit(2);
    }
  }
  return out;
}

bool is_drawn(const Arguments& arguments, std::uint64_t number) {
  if (arguments.all) return true;
  const auto part = number * 0x9E3779B97F4A7C15ull >> 32;
  return (part + kParts * 1'000'000 - arguments.first) % kParts < arguments.count;
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
  std::uint64_t cases = 0, failed = 0, number = 0;
  for (const auto& operation : operations()) {
    if (!arguments.operation.empty() && arguments.operation != operation.name) continue;
    SweepStage stage(kStageSeed);
    operation.prepare(stage);
    const auto calls = in_child([&] {
      const auto before = stage.plan().calls();
      const auto done = operation.run(stage);
      SQ_CHECK(done && done->ok(), "an operation fails with nothing wrong");
      return stage.plan().calls() - before;
    });
    SQ_CHECK(calls.first, operation.name);
    std::uint64_t tried = 0;
    for (std::uint64_t call = 1; call <= calls.second; ++call) {
      for (std::size_t fault = 0; fault < kFaults.size(); ++fault) {
        if (!is_drawn(arguments, ++number)) continue;
        ++tried;
        const auto held = in_child([&]() -> std::uint64_t {
          const auto wrong = try_case(stage, operation, call, kFaults[fault]);
          if (wrong) std::printf("  %s\n", wrong->c_str());
          return wrong.has_value();
        });
        if (held.first && held.second == 0) continue;
        ++failed;
        std::printf("%s: call %llu of %llu: %s\n", operation.name,
                    static_cast<unsigned long long>(call),
                    static_cast<unsigned long long>(calls.second), kFaultNames[fault]);
      }
    }
    std::printf("%-20s %4llu calls, %5llu cases\n", operation.name,
                static_cast<unsigned long long>(calls.second),
                static_cast<unsigned long long>(tried));
    cases += tried;
  }
  std::printf("%llu cases, %llu failed\n", static_cast<unsigned long long>(cases),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
