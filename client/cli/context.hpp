#pragma once
// What every command shares: the configuration, the connections, and how results are shown.

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/admin/admin.hpp"
#include "client/client.hpp"

namespace square::cli {

using Json = nlohmann::ordered_json;

inline constexpr int kExitFailed = 1, kExitUsage = 2, kExitNotFound = 3, kExitRefused = 4,
                     kExitUnreachable = 5, kExitUnknown = 6, kExitDegraded = 7, kExitAtRisk = 8,
                     kExitWaited = 124;
int exit_code(Code code);
// What the user may do about it; empty when the message says it all.
std::string hint(const Error& error);

struct Globals {
  std::string config_file;  // empty: searched
  bool json = false;
  bool yes = false;
};

class Context {
 public:
  explicit Context(Globals globals) : globals_(std::move(globals)) {}
  const Globals& globals() const { return globals_; }

  // Errors: kNotFound (no configuration; says where it was looked for), kInvalid, kDenied (its
  // certificate has expired).
  Result<const client::Config*> config();
  Result<client::Admin*> admin();
  Result<client::Client*> client();

  // The result: as it is with --json, else as a table or as lines. `columns`: those of the table;
  // empty: all.
  void show(const Json& document, const std::vector<std::string>& columns = {}) const;
  // One line for people; nothing with --json.
  void say(const std::string& line) const;

 private:
  Globals globals_;
  std::optional<client::Config> config_;
  std::unique_ptr<client::Admin> admin_;
  std::unique_ptr<client::Client> client_;
};

// {"error":{"code","message","hint"}} with --json, else lines.
void report_error(bool json, const std::string& code, const std::string& message,
                  const std::string& hint);
// Gives the exit code.
int report(const Globals& globals, const Error& error);
// One object, a line for each key, values under each other.
std::string lines_text(const Json& document);
std::string table_text(const Json& rows, const std::vector<std::string>& columns);
std::string cell_text(const std::string& key, const Json& value);

// Where a configuration is looked for, in order.
std::vector<std::string> config_candidates(const Globals& globals);

}  // namespace square::cli
