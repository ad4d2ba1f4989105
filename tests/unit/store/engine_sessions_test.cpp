// Requests that are sent again: done once, whatever happened between.
#include "store/sessions.hpp"
#include "unit/store/engine_rig.hpp"

using namespace square;
using namespace square::test;

namespace {

store::RequestId request(SessionId session, std::uint64_t number) {
  return {session, RequestNumber(number)};
}

}  // namespace

TEST_CASE("a request that is sent again is answered and not done again, also after restarts") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto session = must(rig.run(rig.engine->open_session()));
  must(rig.run(rig.write(volume, 0, blocks_of(1), request(session, 1))));
  must(rig.run(rig.engine->zero(volume, 4096, 4096, request(session, 2))));
  must(rig.run(rig.write(volume, 0, blocks_of(2, 2))));
  const auto again = [&] {
    must(rig.run(rig.write(volume, 0, blocks_of(1), request(session, 1))));
    must(rig.run(rig.engine->zero(volume, 4096, 4096, request(session, 2))));
    CHECK(rig.read(volume, 0, 8192) == blocks_of(2, 2));
  };
  again();
  rig.restart();  // from the journal
  again();
  must(rig.run(rig.engine->checkpoint()));
  rig.restart();  // from the index
  again();
  rig.crash(sim::CrashKind::kPowerLoss, 0);  // from the pool's checkpoint
  rig.start();
  again();
}

TEST_CASE("a request of a session that ended, or was never there, has an unknown outcome") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto session = must(rig.run(rig.engine->open_session()));
  must(rig.run(rig.write(volume, 0, blocks_of(1), request(session, 1))));
  must(rig.run(rig.engine->end_session(session)));
  for (const auto unknown : {session, SessionId(12345)})
    CHECK(rig.run(rig.write(volume, 0, blocks_of(9), request(unknown, 1))).code() ==
          Code::kOutcomeUnknown);
  rig.restart();
  CHECK(rig.run(rig.write(volume, 0, blocks_of(9), request(session, 1))).code() ==
        Code::kOutcomeUnknown);
  CHECK(rig.read(volume, 0, 4096) == blocks_of(1));
}

TEST_CASE("a request number so old that nobody can know it any more has an unknown outcome") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto session = must(rig.run(rig.engine->open_session()));
  must(rig.run(rig.write(volume, 0, blocks_of(1), request(session, 5000))));
  CHECK(rig.run(rig.write(volume, 0, blocks_of(9), request(session, 5000 - 1024))).code() ==
        Code::kOutcomeUnknown);
  must(rig.run(rig.write(volume, 0, blocks_of(2), request(session, 5000 - 1023))));
  CHECK(rig.read(volume, 0, 4096) == blocks_of(2));
}

TEST_CASE("the session table is bounded, over restarts too") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  std::vector<SessionId> sessions;
  for (std::size_t i = 0; i < store::kSessionsMax + 2; ++i) {
    if (i == store::kSessionsMax) rig.restart();
    sessions.push_back(must(rig.run(rig.engine->open_session())));
  }
  std::size_t known = 0;
  for (const auto session : sessions) {
    const auto done = rig.run(rig.write(volume, 0, blocks_of(1), request(session, 1)));
    if (done.ok()) ++known;
    if (!done.ok()) CHECK(done.code() == Code::kOutcomeUnknown);
  }
  CHECK(known == store::kSessionsMax);
}
