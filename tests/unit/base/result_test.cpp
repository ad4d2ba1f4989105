#include "base/result.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using namespace square;

namespace {

Result<int> positive(int value) {
  if (value <= 0) return Error{Code::kInvalid, "not positive"};
  return value;
}

Result<int> sum(int a, int b) {
  SQ_TRY(const auto x, positive(a));
  SQ_TRY(const auto y, positive(b));
  return x + y;
}

Result<> both(int a, int b) {
  SQ_TRY(sum(a, b));
  return {};
}

}  // namespace

TEST_CASE("a result is a value or an error, and SQ_TRY hands errors up") {
  CHECK(*sum(1, 2) == 3);
  CHECK(sum(0, 2).code() == Code::kInvalid);
  CHECK(sum(1, 0).error().message == "not positive");
  CHECK(both(1, 1).ok());
  CHECK_FALSE(both(1, 0).ok());
}

TEST_CASE("context is put in front of the message, and only of an error") {
  CHECK(positive(0).context("read size").error().message == "read size: not positive");
  CHECK(*positive(4).context("read size") == 4);
  CHECK(both(0, 0).context("a").context("b").error().message == "b: a: not positive");
}

TEST_CASE("a result may hold what cannot be copied") {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  const auto taken = std::move(result).value();
  CHECK(*taken == 5);
}

TEST_CASE("every code has its own name") {
  std::vector<std::string_view> names;
  for (int code = 1; code <= 16; ++code) {
    const auto name = code_name(static_cast<Code>(code));
    CHECK(name != "unknown");
    CHECK(std::find(names.begin(), names.end(), name) == names.end());
    names.push_back(name);
  }
  CHECK(code_name(static_cast<Code>(200)) == "unknown");
}
