#pragma once
// Background processes of a playground: started, looked at, signalled. A pid file names one; it
// counts only while that process was started with our arguments.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace square::cli {

// Detached, in a session of its own, output appended to `log`. Writes `pid_file`.
Result<int> start_process(const std::vector<std::string>& words, const std::string& log,
                          const std::string& pid_file);
// Runs to its end; its output goes to `log`. Errors: kIo with the end of the log.
Result<> run_process(const std::vector<std::string>& words, const std::string& log);

// Of the process that runs, if any: `word` must be among its arguments.
std::optional<int> running_pid(const std::string& pid_file, const std::string& word);
// Errors: kNotFound (it is not there), kDenied.
Result<> send_signal(int pid, int signal);
// False: still there after `patience`.
bool wait_gone(const std::string& pid_file, const std::string& word,
               std::chrono::milliseconds patience);
// KILL, TERM, STOP, CONT, INT, HUP.
Result<int> signal_number(const std::string& name);

// A port of 127.0.0.1 that nobody listens on now.
Result<int> free_port();
// The status of GET http://`address``path`; 0 when there is no answer.
int http_status(const std::string& address, const std::string& path);
// The last lines, for errors.
std::string tail(const std::string& file);
// Of this program, without its name.
std::string own_folder();

}  // namespace square::cli
