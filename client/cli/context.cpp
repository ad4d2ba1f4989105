#include "client/cli/context.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/units.hpp"

namespace square::cli {

int exit_code(Code code) {
  switch (code) {
    case Code::kNotFound: return kExitNotFound;
    case Code::kDenied:
    case Code::kFenced:
    case Code::kUnsupported:
    case Code::kDataLoss: return kExitRefused;
    case Code::kUnavailable:
    case Code::kTimeout: return kExitUnreachable;
    case Code::kOutcomeUnknown: return kExitUnknown;
    default: return kExitFailed;
  }
}

std::string hint(const Error& error) {
  switch (error.code) {
    case Code::kUnavailable:
    case Code::kTimeout: return "is the node up? its log and /readyz say why not";
    case Code::kOutcomeUnknown: return "look whether it was done before doing it again";
    case Code::kNoSpace: return "free something, or add disks: square pool status";
    case Code::kBusy: return "try again later";
    case Code::kDataLoss: return "square health";
    default: return "";
  }
}

std::vector<std::string> config_candidates(const Globals& globals) {
  if (!globals.config_file.empty()) return {globals.config_file};
  if (const char* file = std::getenv("SQUARE_CONFIG"); file != nullptr && *file != '\0')
    return {file};
  std::vector<std::string> files;
  if (const char* home = std::getenv("HOME"); home != nullptr)
    files.push_back(std::string(home) + "/.config/square/client.toml");
  files.emplace_back("/etc/square/client.toml");
  return files;
}

Result<const client::Config*> Context::config() {
  if (config_) return &*config_;
  std::string looked;
  for (const auto& file : config_candidates(globals_)) {
    auto config = client::read_config(file);
    if (config.ok()) {
      SQ_TRY(client::check_certificate(*config));
      config_ = std::move(config).value();
      return &*config_;
    }
    if (config.code() != Code::kNotFound) return std::move(config).error();
    looked += (looked.empty() ? "" : ", ") + file;
  }
  return Error{Code::kNotFound, "no configuration: looked for " + looked +
                                    "; name one by --config or $SQUARE_CONFIG"};
}

Result<client::Admin*> Context::admin() {
  if (!admin_) {
    SQ_TRY(const auto* where, config());
    SQ_TRY(admin_, client::Admin::connect(*where));
  }
  return admin_.get();
}

Result<client::Client*> Context::client() {
  if (!client_) {
    SQ_TRY(const auto* where, config());
    client::ClientOptions options;
    options.name = "square " + std::to_string(getpid());
    SQ_TRY(client_, client::Client::start(*where, std::move(options)));
  }
  return client_.get();
}

std::string cell_text(const std::string& key, const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_unsigned() && key.ends_with("_bytes"))
    return size_text(value.get<std::uint64_t>());
  if (value.is_array() && std::ranges::all_of(value, [](const auto& v) { return v.is_string(); })) {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : ", ") + item.get<std::string>();
    return text;
  }
  return value.dump();
}

namespace {

// What a key is called where people read: sizes come with their unit.
std::string title_text(std::string key) {
  if (key.ends_with("_bytes")) key.resize(key.size() - 6);
  std::ranges::transform(key, key.begin(), [](char c) { return c == '_' ? ' ' : c; });
  return key;
}

}  // namespace

std::string lines_text(const Json& document) {
  std::size_t width = 0;
  for (const auto& [key, value] : document.items())
    width = std::max(width, title_text(key).size() + 2);
  std::string text;
  for (const auto& [key, value] : document.items()) {
    auto title = title_text(key) + ":";
    title.resize(width, ' ');
    const auto shown = cell_text(key, value);
    text += title + (shown.empty() ? "-" : shown) + "\n";
  }
  return text;
}

std::string table_text(const Json& rows, const std::vector<std::string>& wanted) {
  auto columns = wanted;
  if (columns.empty() && !rows.empty())
    for (const auto& [key, value] : rows.front().items()) columns.push_back(key);
  std::vector<std::vector<std::string>> lines(1);
  for (const auto& column : columns) lines[0].push_back(title_text(column));
  for (const auto& row : rows) {
    auto& line = lines.emplace_back();
    for (const auto& column : columns)
      line.push_back(row.contains(column) ? cell_text(column, row[column]) : "");
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string text;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - line[i].size() + 2, ' ');
    }
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

void Context::show(const Json& document, const std::vector<std::string>& columns) const {
  if (globals_.json) {
    std::printf("%s\n", document.dump().c_str());
  } else if (document.is_array()) {
    std::fputs(document.empty() ? "none\n" : table_text(document, columns).c_str(), stdout);
  } else {
    std::fputs(lines_text(document).c_str(), stdout);
  }
}

void Context::say(const std::string& line) const {
  if (!globals_.json) std::printf("%s\n", line.c_str());
}

void report_error(bool json, const std::string& code, const std::string& message,
                  const std::string& hint) {
  if (json) {
    const Json document{{"error", {{"code", code}, {"message", message}, {"hint", hint}}}};
    std::fprintf(stderr, "%s\n",
                 document.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return;
  }
  std::fprintf(stderr, "square: %s: %s\n", code.c_str(), message.c_str());
  if (!hint.empty()) std::fprintf(stderr, "  %s\n", hint.c_str());
}

int report(const Globals& globals, const Error& error) {
  report_error(globals.json, std::string(code_name(error.code)), error.message, hint(error));
  return exit_code(error.code);
}

}  // namespace square::cli
