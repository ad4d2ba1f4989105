// What an error says of a request, and what a session knows.
#include "store/sessions.hpp"
#include "unit/store/crowd.hpp"

using namespace square;
using namespace square::test;
using store::RequestId;

TEST_CASE("clients that went without a word do not keep others out") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto oldest = must(rig.run(rig.engine->open_session()));
  const auto used = must(rig.run(rig.engine->open_session()));
  for (std::size_t i = 0; i < store::kSessionsMax; ++i) {
    if (i == 100) {
      const RequestId request{used, RequestNumber(1)};
      must(rig.run(rig.write(volume, 0, blocks_of(1), request)));
    }
    must(rig.run(rig.engine->open_session()));
  }
  const auto late = rig.run(rig.write(volume, 0, blocks_of(2), {oldest, RequestNumber(1)}));
  REQUIRE(!late.ok());
  CHECK(late.code() == Code::kOutcomeUnknown);
  must(rig.run(rig.write(volume, 0, blocks_of(3), {used, RequestNumber(2)})));
  rig.restart();
  must(rig.run(rig.engine->open_session()));
  CHECK((rig.read(volume, 0, 4096) == blocks_of(3)));
}

TEST_CASE("the end of a session is the last of it") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto session = must(rig.run(rig.engine->open_session()));
  Crowd both(rig);
  both.add(rig.write(volume, 0, blocks_of(1), {session, RequestNumber(1)}));
  both.add(rig.engine->end_session(session));
  REQUIRE(both.all_end());
  for (int start = 0; start < 2; ++start) {
    const auto late = rig.run(rig.write(volume, 0, blocks_of(2), {session, RequestNumber(2)}));
    REQUIRE(!late.ok());
    CHECK(late.code() == Code::kOutcomeUnknown);
    must(rig.run(rig.engine->checkpoint()));
    rig.restart();
  }
}

TEST_CASE("a request that was done is done, whatever has become of its volume") {
  EngineRig rig;
  rig.start();
  const auto volume = rig.create("v").id;
  const auto session = must(rig.run(rig.engine->open_session()));
  const RequestId write{session, RequestNumber(1)}, zero{session, RequestNumber(2)};
  must(rig.run(rig.write(volume, 0, blocks_of(1), write)));
  must(rig.run(rig.engine->zero(volume, 0, 4096, zero)));
  must(rig.run(rig.engine->delete_volume("v")));
  CHECK(rig.run(rig.write(volume, 0, blocks_of(1), write)).ok());
  CHECK(rig.run(rig.engine->zero(volume, 0, 4096, zero)).ok());
  const auto other = rig.run(rig.write(volume, 0, blocks_of(1), {session, RequestNumber(3)}));
  REQUIRE(!other.ok());
  CHECK(other.code() == Code::kNotFound);
}
