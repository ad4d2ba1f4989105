#pragma once
// The session table of a group: which requests of which clients are done. A retry of a finished
// request is answered from it, one of a request under way waits for it, and what the table cannot
// know gets OutcomeUnknown: never a second execution.

#include <array>
#include <map>
#include <memory>
#include <optional>

#include "env/sync.hpp"
#include "index/index.hpp"
#include "store/engine.hpp"

namespace square::store {

inline constexpr std::size_t kSessionsMax = 4096;

class Sessions {
 public:
  // A request under way; those who retry it wait for `ended`.
  struct Flight {
    explicit Flight(env::Loop& loop) : ended(loop) {}
    env::Event ended;
    std::optional<Result<>> result;
  };

  explicit Sessions(env::Loop& loop) : loop_(loop) {}

  void add(SessionId session);
  void restore(const index::SessionWindow& window);
  void remove(SessionId session);
  bool known(SessionId session) const { return sessions_.contains(session); }
  std::size_t size() const { return sessions_.size(); }

  // From now on the session takes no new request: its end will be the last of it in the log, so
  // that nothing makes it known again.
  void close(SessionId session);
  // A request of it that is under way, if any.
  std::shared_ptr<Flight> flight_of(SessionId session) const;
  // The session that was idle longest, of those with no request under way that are not closed.
  std::optional<SessionId> idlest() const;

  // A committed operation carried this request.
  void done(SessionId session, RequestNumber request);

  enum class Verdict : std::uint8_t { kNew, kDone, kUnderWay, kUnknown };
  struct Begin {
    Verdict verdict = Verdict::kNew;
    std::shared_ptr<Flight> flight;  // kNew: to be ended by the caller; kUnderWay: to wait for
  };
  Begin begin(RequestId request);
  void end(RequestId request, const std::shared_ptr<Flight>& flight, const Result<>& result);

 private:
  struct Session {
    format::SessionRow requests;
    std::map<RequestNumber, std::shared_ptr<Flight>> flights;
    std::uint64_t last_use = 0;
    bool closed = false;
  };
  env::Loop& loop_;
  std::uint64_t uses_ = 0;
  std::map<SessionId, Session> sessions_;
};

}  // namespace square::store
