#pragma once
// Long operations of a node: begun by a command, done by the daemon, followed by their id. The list
// is in a file before an operation begins, so that one that was promised goes on after a restart.
// One scrub runs at a time, and one replacement of a disk ("retire" or "replace"). One loop.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "env/env.hpp"
#include "format/operations.hpp"
#include "pool/pool.hpp"

namespace square::access {

// What the list does when something happens; no I/O.
class OperationTable {
 public:
  static constexpr std::size_t kKept = 100;  // the oldest that have ended are forgotten

  explicit OperationTable(std::vector<format::LongOperation> operations = {})
      : operations_(std::move(operations)) {}
  // Newest last.
  const std::vector<format::LongOperation>& all() const { return operations_; }
  // Errors: kNotFound.
  Result<format::LongOperation> find(const std::string& id) const;
  // The one of that kind that runs, if any.
  format::LongOperation* running(std::string_view kind);
  void add(format::LongOperation operation);
  void forget(const std::string& id);

 private:
  std::vector<format::LongOperation> operations_;
};

// A scrub's operation after a look at the pool. `before`: what it had counted when this pass began,
// and what the pool had counted then.
struct ScrubBegin {
  format::LongOperation operation;
  std::uint64_t pool_found = 0, pool_repaired = 0;
};
format::LongOperation scrub_now(const ScrubBegin& before, const pool::PoolStatus& pool);
// How a scrub ended whose pass is over.
void end_scrub(format::LongOperation& operation, bool complete, std::int64_t wall_ns);

// How often a scrub begins by itself, and whether it is time. The list, newest last, is what is
// known of earlier ones; of a node without any the first is due an hour after its start.
class ScrubSchedule {
 public:
  explicit ScrubSchedule(env::Duration interval = {}) : interval_(interval) {}  // 0: never
  // Counted from when the last one began, whatever became of it. One that began in the future says
  // that the clock was set: it is time.
  bool due(const std::vector<format::LongOperation>& all, std::int64_t wall_ns,
           env::Duration since_start) const;
  // No scrub has ended well for two intervals, though there was time to.
  bool overdue(const std::vector<format::LongOperation>& all, std::int64_t wall_ns) const;

 private:
  env::Duration interval_;
};
// When the last scrub ended that found all clean or repaired; 0: none is listed.
std::int64_t last_good_scrub_ns(const std::vector<format::LongOperation>& all);

class Operations {
 public:
  Operations(env::Env env, pool::Pool& pool, std::string file, LogSink log,
             ScrubSchedule schedule = ScrubSchedule())
      : env_(env),
        pool_(pool),
        file_(std::move(file)),
        log_(std::move(log)),
        schedule_(schedule),
        opened_(env.loop.now()) {}

  // Reads the list; what was running goes on where it was last seen. A list that cannot be read is
  // begun anew, and the log says so.
  void open();
  // Errors: kBusy (one runs), kIo and others of the file: then nothing began.
  Result<format::LongOperation> start_scrub();
  // A spare (that one, if one is named) takes the slot of a disk that works; with kReplace also of
  // one that does not. Errors: kBusy (one runs), kNotFound (no such slot), kConflict (no spare is
  // free, or none is needed, and others of Pool::retire_disk), those of the file.
  Result<format::LongOperation> start_replacement(std::string_view kind, Slot slot,
                                                  std::optional<DiskId> by);
  std::vector<format::LongOperation> list();
  // Errors: kNotFound.
  Result<format::LongOperation> find(const std::string& id);
  // Errors: kNotFound, kConflict (it has ended).
  Result<format::LongOperation> cancel(const std::string& id);
  // Notes what has ended, and now and then how far the others are. Every second or so.
  void look();
  // Begins the scrub that is due, if any: by the time, or because a disk was retired, whose content
  // was copied and not proven. Every second or so.
  void follow_schedule();
  bool scrub_overdue() const { return schedule_.overdue(table_.all(), env_.loop.wall().ns); }
  std::int64_t last_good_scrub_ns() const { return access::last_good_scrub_ns(table_.all()); }

 private:
  Result<> save();
  // Listed and in the file before `begin` is called; listed no more when that fails.
  using Begin = std::function<Result<>(const format::LongOperation&)>;
  Result<format::LongOperation> begin(format::LongOperation operation, const Begin& begin);
  Result<> begin_pass(const format::LongOperation& operation);
  Result<> begin_replacement(const format::LongOperation& operation, std::optional<DiskId> by);
  void go_on(format::LongOperation* operation, const Begin& begin);
  format::LongOperation* running_replacement();
  void look_at_scrub();
  void look_at_replacement();
  bool scrub_due();
  void say(LogLevel level, const std::string& message) const;

  env::Env env_;
  pool::Pool& pool_;
  std::string file_;
  LogSink log_;
  ScrubSchedule schedule_;
  env::BootTime opened_, schedule_again_;
  OperationTable table_;
  ScrubBegin scrub_;
  std::uint64_t pass_ = 0;  // the pool's number of the pass that is the running operation's
  std::uint64_t retirements_scrubbed_ = 0;  // up to this number of the pool's
  bool unsaved_ = false;                    // the file lacks something: written at the next look
  env::BootTime saved_, retry_at_;
};

}  // namespace square::access
