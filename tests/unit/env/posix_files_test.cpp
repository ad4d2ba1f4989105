#include "env/real/posix_files.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <set>

#include "env/real/system_random.hpp"
#include "unit/env/temporary_folder.hpp"

using namespace square;

TEST_CASE("a file reads back as it was written, and is replaced as a whole") {
  test::TemporaryFolder folder;
  env::PosixFiles files;
  const auto path = folder.path("key");
  CHECK_FALSE(files.exists(path));
  CHECK(files.read(path, 100).code() == Code::kNotFound);
  REQUIRE(files.write_atomic(path, as_bytes("first")).ok());
  REQUIRE(files.write_atomic(path, as_bytes("second, longer")).ok());
  CHECK(files.exists(path));
  CHECK(as_text(*files.read(path, 14)) == "second, longer");
  CHECK(files.read(path, 13).code() == Code::kInvalid);
  REQUIRE(files.write_atomic(path, {}).ok());
  CHECK(files.read(path, 0)->empty());
  CHECK(*files.list(folder.path()) == std::vector<std::string>{"key"});  // no temporary is left
  struct stat st{};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
}

TEST_CASE("folders are made with their parents, listed in order, removed whole") {
  test::TemporaryFolder folder;
  env::PosixFiles files;
  const auto deep = folder.path("a/b/c");
  REQUIRE(files.make_folder(deep).ok());
  REQUIRE(files.make_folder(deep + "/").ok());
  REQUIRE(files.write_atomic(deep + "/2", {}).ok());
  REQUIRE(files.write_atomic(deep + "/1", {}).ok());
  CHECK(*files.list(deep) == std::vector<std::string>{"1", "2"});
  REQUIRE(files.remove_tree(folder.path("a")).ok());
  REQUIRE(files.remove_tree(folder.path("a")).ok());
  CHECK_FALSE(files.exists(deep));
}

TEST_CASE("what cannot be done to files says why") {
  test::TemporaryFolder folder;
  env::PosixFiles files;
  REQUIRE(files.write_atomic(folder.path("file"), as_bytes("x")).ok());
  CHECK(files.list(folder.path("none")).code() == Code::kNotFound);
  CHECK(files.read(folder.path(), 100).code() == Code::kInvalid);
  CHECK(files.make_folder(folder.path("file")).code() == Code::kInvalid);
  CHECK(files.write_atomic(folder.path("none/file"), {}).code() == Code::kNotFound);
  CHECK_FALSE(files.write_atomic(folder.path(), {}).ok());  // a folder is in the way
  CHECK_FALSE(files.make_folder(folder.path("file/below")).ok());
  CHECK(files.write_atomic("/dev/full/x", {}).code() == Code::kNotFound);
}

TEST_CASE("the system's random bytes do not repeat") {
  env::SystemRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) seen.insert(random.uuid().to_string());
  CHECK(seen.size() == 100);
  ByteVector large(1 << 20);
  random.fill(large);
  std::set<std::byte> values(large.begin(), large.end());
  CHECK(values.size() == 256);
}
