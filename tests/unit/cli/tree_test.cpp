#include "client/cli/tree.hpp"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "client/cli/app.hpp"

using namespace square;
using namespace square::cli;

namespace {

// As the shell would cut it, up to a pipe or redirection; `program` is what it must begin with.
std::vector<std::string> words_of(std::string line) {
  const auto program = line.find("square ");
  REQUIRE(program != std::string::npos);
  line = line.substr(program);
  line = line.substr(0, line.find_first_of("|<>"));
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The exit code of the parser alone; 0: understood.
int parse(const std::vector<std::string>& words, std::string* path = nullptr,
          bool* watched = nullptr) {
  CommandTree tree;
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  try {
    tree.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& error) {
    return error.get_exit_code();
  }
  if (path != nullptr)
    for (auto below = tree.app().get_subcommands(); !below.empty();
         below = below.front()->get_subcommands())
      *path += (path->empty() ? "" : " ") + below.front()->get_name();
  if (watched != nullptr) *watched = tree.watch().has_value();
  return 0;
}

// What bash offers after these words, the last of which is being typed.
std::string offered(const std::vector<std::string>& words) {
  CommandTree tree;
  std::string script = "/tmp/square_completions_" + std::to_string(getpid());
  std::ofstream(script) << *completions(tree.app(), "bash");
  std::string line = "bash -c 'source " + script + "; COMP_WORDS=(";
  for (const auto& word : words) line += "\"" + word + "\" ";
  line += "); COMP_CWORD=" + std::to_string(words.size() - 1) + "; _square; echo ${COMPREPLY[*]}'";
  std::string out;
  std::array<char, 512> part;
  FILE* pipe = popen(line.c_str(), "r");
  while (fgets(part.data(), part.size(), pipe) != nullptr) out += part.data();
  CHECK(pclose(pipe) == 0);
  unlink(script.c_str());
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace

TEST_CASE("every command shows an example of itself, and the examples are understood") {
  CommandTree tree;
  const auto helps = tree.helps();
  CHECK(helps.size() > 30);
  for (const auto& help : helps) {
    INFO(help.path);
    CHECK_FALSE(help.examples.empty());
    for (const auto& example : help.examples) {
      INFO(example);
      std::string path;
      CHECK(parse(words_of(example), &path) == 0);
      CHECK(path == help.path);
    }
  }
}

TEST_CASE("what is looked at can be watched, what changes something cannot") {
  bool watched = false;
  CHECK(parse({"square", "health", "--watch"}, nullptr, &watched) == 0);
  CHECK(watched);
  CHECK(parse({"square", "pool", "status", "--watch", "--interval", "500ms", "--json"}) == 0);
  CHECK(parse({"square", "pool", "status", "--interval", "500ms"}) != 0);
  CHECK(parse({"square", "pool", "status", "--watch", "--interval", "often"}) != 0);
  CHECK(parse({"square", "volume", "rm", "a", "--watch"}) != 0);
}

TEST_CASE("a time limit belongs to a wait") {
  CHECK(parse({"square", "pool", "scrub", "--wait", "--timeout", "30s"}) == 0);
  CHECK(parse({"square", "pool", "scrub", "--timeout", "30s"}) != 0);
  CHECK(parse({"square", "op", "wait", "scrub-1", "--timeout", "1 min"}) == 0);
  CHECK(parse({"square", "op", "wait", "scrub-1", "--timeout", "soon"}) != 0);
}

TEST_CASE("a restore point and a snapshot exclude each other, and --from needs a point") {
  CHECK(parse({"square", "volume", "hash", "a", "--point", "latest"}) == 0);
  CHECK(parse({"square", "volume", "hash", "a", "--point", "latest", "--snapshot", "1-2"}) != 0);
  CHECK(parse({"square", "volume", "export", "a", "-", "--point", "1", "--from", "backup"}) == 0);
  CHECK(parse({"square", "volume", "export", "a", "-", "--from", "backup"}) != 0);
}

TEST_CASE("bash offers commands, options, choices and nothing else") {
  CHECK(offered({"square", "vol"}) == "volume");
  CHECK(offered({"square", "op", ""}).starts_with("ls show wait cancel --"));
  CHECK(offered({"square", "--json", "snapshot", "c"}) == "create");
  CHECK(offered({"square", "volume", "create", "x", "--s"}) == "--size");
  CHECK(offered({"square", "volume", "create", "x", "--size", ""}).empty());
  CHECK(offered({"square", "volume", "export", "x", "y", "--from", ""}) == "backup remote");
  CHECK(offered({"square", "completions", "f"}) == "fish");
  CHECK(offered({"square", "--config", "/etc/pass"}).starts_with("/etc/passwd"));
  CHECK(offered({"square", "playground", "up", "/etc/pass"}).starts_with("/etc/passwd"));
}

TEST_CASE("the completions of the other shells name every command") {
  CommandTree tree;
  for (const auto* shell : {"zsh", "fish"}) {
    const auto text = *completions(tree.app(), shell);
    for (const auto& help : tree.helps()) {
      auto path = "/" + help.path;
      std::ranges::replace(path, ' ', '/');
      INFO(shell << " " << path);
      CHECK(text.find(path) != std::string::npos);
    }
  }
  CHECK(completions(tree.app(), "csh").code() == Code::kInvalid);
}
