#include "client/cli/process.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

namespace square::cli {

namespace {

Error errno_error(const std::string& what) {
  return {Code::kIo, what + ": " + std::strerror(errno)};
}

// In the child: never returns. `begun` closes when the program runs.
[[noreturn]] void become(const std::vector<std::string>& words, int log, int begun) {
  std::vector<char*> arguments;
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  dprintf(begun, "x");
  dprintf(STDERR_FILENO, "cannot run %s: %s\n", arguments[0], std::strerror(errno));
  _exit(127);
}

Result<int> spawn(const std::vector<std::string>& words, const std::string& log, bool detached) {
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error("open " + log);
  int begun[2];
  if (pipe2(begun, O_CLOEXEC) != 0) return errno_error("pipe");
  const int pid = fork();
  if (pid == 0) {
    if (detached) setsid();
    become(words, fd, begun[1]);
  }
  close(fd);
  close(begun[1]);
  char failed = 0;
  const auto got = read(begun[0], &failed, 1);  // waits until the program runs
  close(begun[0]);
  if (pid < 0) return errno_error("fork");
  if (got > 0) return Error{Code::kNotFound, "cannot run " + words[0]};
  return pid;
}

std::string read_text(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A zombie of ours has no arguments left, so that it counts as gone.
bool has_word(int pid, const std::string& word) {
  const auto line = read_text("/proc/" + std::to_string(pid) + "/cmdline");
  std::istringstream words(line);
  for (std::string one; std::getline(words, one, '\0');)
    if (one == word) return true;
  return false;
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

Result<int> start_process(const std::vector<std::string>& words, const std::string& log,
                          const std::string& pid_file) {
  SQ_TRY(const int pid, spawn(words, log, true));
  std::ofstream out(pid_file);
  out << pid << "\n";
  out.close();
  if (!out) return Error{Code::kIo, "cannot write " + pid_file};
  return pid;
}

Result<> run_process(const std::vector<std::string>& words, const std::string& log) {
  SQ_TRY(const int pid, spawn(words, log, false));
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return errno_error("wait");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error{Code::kIo, words[0] + " failed:\n" + tail(log)};
}

std::optional<int> running_pid(const std::string& pid_file, const std::string& word) {
  std::ifstream in(pid_file);
  int pid = 0;
  if (!(in >> pid) || pid <= 0) return std::nullopt;
  waitpid(pid, nullptr, WNOHANG);  // where it is a child of this very process
  if (!has_word(pid, word)) return std::nullopt;
  return pid;
}

Result<> send_signal(int pid, int signal) {
  if (kill(pid, signal) == 0) return {};
  return Error{errno == ESRCH ? Code::kNotFound : Code::kDenied,
               "signal process " + std::to_string(pid) + ": " + std::strerror(errno)};
}

bool wait_gone(const std::string& pid_file, const std::string& word,
               std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (running_pid(pid_file, word)) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

Result<int> signal_number(const std::string& name) {
  constexpr std::array<std::pair<const char*, int>, 6> kSignals{{{"KILL", SIGKILL},
                                                                 {"TERM", SIGTERM},
                                                                 {"STOP", SIGSTOP},
                                                                 {"CONT", SIGCONT},
                                                                 {"INT", SIGINT},
                                                                 {"HUP", SIGHUP}}};
  for (const auto& [known, number] : kSignals)
    if (name == known) return number;
  return Error{Code::kInvalid, "\"" + name + "\" is not one of KILL, TERM, STOP, CONT, INT, HUP"};
}

// The system gives none of these to a connection that goes out, which could have it just when a
// killed node comes back for it.
Result<int> free_port() {
  constexpr int kLowest = 10'000, kTries = 200;
  int first_outgoing = 32'768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first_outgoing;
  if (first_outgoing < kLowest + 1000)
    return Error{Code::kUnsupported,
                 "net.ipv4.ip_local_port_range leaves no ports below it for a playground"};
  std::random_device random;
  std::uniform_int_distribution<int> ports(kLowest, first_outgoing - 1);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const int port = ports(random);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno_error("find a free port");
    const auto address = loopback(port);
    const bool ok = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    if (ok) return port;
  }
  return Error{Code::kBusy, "no port of 127.0.0.1 between " + std::to_string(kLowest) + " and " +
                                std::to_string(first_outgoing) + " is free"};
}

int http_status(const std::string& address, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  const timeval patience{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const auto target = loopback(std::atoi(address.substr(address.rfind(':') + 1).c_str()));
  const auto request = "GET " + path + " HTTP/1.1\r\nHost: square\r\n\r\n";
  std::array<char, 64> reply{};
  const bool ok = connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0 &&
                  send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
                      static_cast<ssize_t>(request.size()) &&
                  recv(fd, reply.data(), reply.size() - 1, 0) > 12;
  close(fd);
  return ok && std::string_view(reply.data()).starts_with("HTTP/1.1 ") ? std::atoi(&reply[9]) : 0;
}

std::string tail(const std::string& file) {
  auto text = read_text(file);
  constexpr std::size_t kBytesMax = 2000;
  if (text.size() > kBytesMax) text = "..." + text.substr(text.size() - kBytesMax);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().string();
}

}  // namespace square::cli
