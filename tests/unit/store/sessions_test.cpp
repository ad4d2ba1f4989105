#include "store/sessions.hpp"

#include <catch2/catch.hpp>

#include "sim/env/sim_process.hpp"

using namespace square;
using namespace square::store;
using Verdict = Sessions::Verdict;

namespace {

constexpr SessionId kSession{7};

struct Table {
  Table() : world(1), node(world.add_process("n1")), sessions(node.loop()) {
    sessions.add(kSession);
  }
  RequestId request(std::uint64_t number) const { return {kSession, RequestNumber(number)}; }
  void execute(std::uint64_t number) {
    const auto begun = sessions.begin(request(number));
    REQUIRE(begun.verdict == Verdict::kNew);
    sessions.done(kSession, RequestNumber(number));
    sessions.end(request(number), begun.flight, {});
  }
  sim::SimWorld world;
  sim::SimProcess& node;
  Sessions sessions;
};

}  // namespace

TEST_CASE("a request that is done is never executed again") {
  Table t;
  t.execute(5);
  CHECK(t.sessions.begin(t.request(5)).verdict == Verdict::kDone);
  CHECK(t.sessions.begin(t.request(4)).verdict == Verdict::kNew);
}

TEST_CASE("a retry of a request under way waits for its outcome and gets the same") {
  Table t;
  const auto first = t.sessions.begin(t.request(1));
  const auto retry = t.sessions.begin(t.request(1));
  REQUIRE(retry.verdict == Verdict::kUnderWay);
  CHECK_FALSE(retry.flight->ended.is_set());
  t.sessions.end(t.request(1), first.flight, Error{Code::kNoSpace, "full"});
  CHECK(retry.flight->ended.is_set());
  CHECK(retry.flight->result->code() == Code::kNoSpace);
}

TEST_CASE("a request that failed may be executed when it is sent again") {
  Table t;
  const auto first = t.sessions.begin(t.request(1));
  t.sessions.end(t.request(1), first.flight, Error{Code::kNoSpace, "full"});
  CHECK(t.sessions.begin(t.request(1)).verdict == Verdict::kNew);
}

TEST_CASE("what the table cannot know is unknown: a foreign session, a number long gone") {
  Table t;
  CHECK(t.sessions.begin({SessionId(8), RequestNumber(1)}).verdict == Verdict::kUnknown);
  t.execute(5000);
  CHECK(t.sessions.begin(t.request(5000 - 1024)).verdict == Verdict::kUnknown);
  CHECK(t.sessions.begin(t.request(5000 - 1023)).verdict == Verdict::kNew);
  t.sessions.remove(kSession);
  CHECK(t.sessions.begin(t.request(5000)).verdict == Verdict::kUnknown);
}

TEST_CASE("a request without a session is always new") {
  Table t;
  CHECK(t.sessions.begin({}).verdict == Verdict::kNew);
  CHECK(t.sessions.begin({}).verdict == Verdict::kNew);
}

TEST_CASE("a closed session takes nothing new, and answers for what it has done") {
  Table t;
  t.execute(1);
  const auto flying = t.sessions.begin(t.request(2));
  t.sessions.close(kSession);
  CHECK(t.sessions.begin(t.request(3)).verdict == Verdict::kUnknown);
  CHECK(t.sessions.begin(t.request(1)).verdict == Verdict::kDone);
  CHECK(t.sessions.begin(t.request(2)).verdict == Verdict::kUnderWay);
  REQUIRE(t.sessions.flight_of(kSession) == flying.flight);
  t.sessions.end(t.request(2), flying.flight, {});
  CHECK(t.sessions.flight_of(kSession) == nullptr);
}

TEST_CASE("the idlest session is the one whose last request is longest ago and over") {
  Table t;
  t.sessions.add(SessionId(8));
  t.sessions.add(SessionId(9));
  t.execute(1);  // of session 7
  CHECK(t.sessions.idlest() == SessionId(8));
  const auto flying = t.sessions.begin({SessionId(8), RequestNumber(1)});
  CHECK(t.sessions.idlest() == SessionId(9));
  t.sessions.close(SessionId(9));
  CHECK(t.sessions.idlest() == kSession);
  t.sessions.end({SessionId(8), RequestNumber(1)}, flying.flight, {});
  CHECK(t.sessions.idlest() == kSession);
}
