#include "access/identity.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::access;

namespace {
const std::string kCell = "00112233-4455-6677-8899-aabbccddeeff";
}

TEST_CASE("an identity is a cell and a subject, and nothing else parses") {
  const auto who = parse_identity("square://" + kCell + "/client/app7");
  REQUIRE(who.ok());
  CHECK(who->cell == kCell);
  CHECK(who->subject == "client/app7");
  for (const auto& bad : std::vector<std::string>{
           "", "square://", "http://" + kCell + "/client/a", "square://cell/client/a",
           "square://" + kCell, "square://" + kCell + "/client", "square://" + kCell + "/client/"})
    CHECK(parse_identity(bad).code() == Code::kInvalid);
}

TEST_CASE("clients use data and look, operators and nodes do everything, strangers nothing") {
  const auto may = [](const std::string& cell, const std::string& subject, Action action) {
    return permit(kCell, {cell, subject}, action).ok();
  };
  CHECK(may(kCell, "client/app7", Action::kData));
  CHECK(may(kCell, "client/app7", Action::kView));
  CHECK_FALSE(may(kCell, "client/app7", Action::kControl));
  CHECK(may(kCell, "operator/alice", Action::kControl));
  CHECK(may(kCell, "node/n1", Action::kControl));
  CHECK_FALSE(may(kCell, "gateway/x", Action::kView));
  CHECK_FALSE(may(kCell, "clientele/x", Action::kData));
  CHECK_FALSE(may(kCell, "", Action::kView));
  const auto other = permit(kCell, {"another", "operator/alice"}, Action::kView);
  CHECK(other.code() == Code::kDenied);
  CHECK(other.error().message.find("another") != std::string::npos);
}
