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
