#include "client/config.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::client;

namespace {

const std::string kGood = R"(
cell = "00112233-4455-6677-8899-aabbccddeeff"
data = ["127.0.0.1:7400"]
control = ["127.0.0.1:7401"]
[tls]
ca = "tls/ca.crt"
certificate = "/abs/client.crt"
key = "tls/client.key"
)";

}  // namespace

TEST_CASE("a client's configuration names files beside itself") {
  const auto config = parse_config(kGood, "/cell/client.toml");
  REQUIRE(config.ok());
  CHECK(config->tls_ca == "/cell/tls/ca.crt");
  CHECK(config->tls_certificate == "/abs/client.crt");
  CHECK(config->data == std::vector<std::string>{"127.0.0.1:7400"});
  CHECK(config->tenant == TenantId(1));
  CHECK(parse_config(kGood, "client.toml")->tls_key == "tls/client.key");
}

TEST_CASE("a client's configuration says everything that is wrong with it, by line") {
  const auto bad = parse_config(
      "cel = \"x\"\ndata = \"127.0.0.1\"\ntenant = -1\n[tls]\nca = 5\ncertificat = \"a\"\n",
      "c.toml");
  REQUIRE(bad.code() == Code::kInvalid);
  const auto& text = bad.error().message;
  for (const auto* part :
       {"c.toml:1: unknown key \"cel\"; the nearest is \"cell\"",
        "c.toml:2: \"data\" must be a list", "c.toml:3: \"tenant\" must be a number",
        "c.toml:5: \"tls.ca\" must be a text",
        "c.toml:6: unknown key \"tls.certificat\"; the nearest is \"tls.certificate\"",
        "c.toml: \"cell\" is missing", "c.toml: \"tls.key\" is missing"})
    CHECK_THAT(text, Catch::Contains(part));
}

TEST_CASE("what is not TOML is refused with line and column") {
  const auto bad = parse_config("cell = \n", "c.toml");
  REQUIRE(bad.code() == Code::kInvalid);
  CHECK_THAT(bad.error().message, Catch::StartsWith("c.toml:1:"));
}

TEST_CASE("a configuration that is not there is told from a bad one") {
  CHECK(read_config("/nowhere/client.toml").code() == Code::kNotFound);
}
