#include "daemon/last_words.hpp"

#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <random>

#include "unit/env/temporary_folder.hpp"

using namespace square;
using namespace square::daemon;

namespace {

std::string read_page(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string bytes(28, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

}  // namespace

TEST_CASE("a killed process leaves behind what it was in the middle of") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() + "/last_words";
  const auto child = fork();
  if (child == 0) {
    const auto page = LastWordsPage::open(file);
    const Busy journal(page.activities(), Activity::kJournal);
    const Busy another(page.activities(), Activity::kJournal);
    const Busy checkpoint(page.activities(), Activity::kCheckpoint);
    {
      const Busy done(page.activities(), Activity::kDestage);
    }
    kill(getpid(), SIGKILL);
  }
  REQUIRE(waitpid(child, nullptr, 0) == child);
  CHECK(read_page(file) == std::string("SQLASTW1\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 28));
  const auto page = LastWordsPage::open(file);
  REQUIRE(page.before());
  CHECK(*page.before() == LastWords{false, {2, 0, 0, 1}});
  CHECK(last_words_text(*page.before()) == "killed in the middle of: 2 journal, 1 checkpoint");
  CHECK(read_page(file) == "SQLASTW1" + std::string(20, '\0'));
}

TEST_CASE("a process that ends by itself says so, and the counters stay usable") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() + "/last_words";
  {
    auto page = LastWordsPage::open(file);
    CHECK_FALSE(page.before());
    page.end_clean();
  }
  const auto again = LastWordsPage::open(file);
  CHECK(again.before()->clean);
  CHECK(last_words_text(*again.before()).empty());
}

TEST_CASE("without a folder that takes writes the counters are in memory") {
  auto page = LastWordsPage::open("/nowhere/last_words");
  CHECK_FALSE(page.before());
  const Busy busy(page.activities(), Activity::kDestage);
  CHECK(page.activities()->now[1] == 1);
  page.end_clean();
}

TEST_CASE("a second process on the same folder leaves the page of the first alone") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() + "/last_words";
  const auto first = LastWordsPage::open(file);
  const Busy busy(first.activities(), Activity::kDestage);
  auto second = LastWordsPage::open(file);
  CHECK_FALSE(second.before());
  second.end_clean();
  CHECK(read_page(file) ==
        std::string("SQLASTW1\0\0\0\0\0\0\0\0\1\0\0\0", 20) + std::string(8, '\0'));
}

TEST_CASE("any bytes are last words or none") {
  std::mt19937 random(7);
  for (int round = 0; round < 1000; ++round) {
    ByteVector bytes(random() % 64);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    CHECK_FALSE(decode_last_words(bytes));
    auto named = bytes;
    named.resize(std::max<std::size_t>(named.size(), 8));
    std::memcpy(named.data(), "SQLASTW1", 8);
    CHECK(decode_last_words(named).has_value() == (named.size() >= 28));
  }
}
