#include "client/toml/toml.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "base/units.hpp"

namespace square::config {

struct Table::Impl {
  std::string file;
  toml::table root;
  std::set<std::string> asked;
  std::vector<std::pair<unsigned, std::string>> errors;  // by line

  const toml::node* find(const std::string& key) {
    asked.insert(key);
    return root.at_path(key).node();
  }
  void note(const toml::node* node, const std::string& message) {
    errors.emplace_back(node == nullptr ? 0 : node->source().begin.line, message);
  }
  void missing(const std::string& key) { note(nullptr, "\"" + key + "\" is missing"); }
  void find_unknown(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table) {
      const auto path = prefix + std::string(name.str());
      if (asked.contains(path)) continue;
      if (node.is_table()) {
        find_unknown(*node.as_table(), path + ".");
        continue;
      }
      auto message = "unknown key \"" + path + "\"";
      const auto nearest = nearest_name(path, asked);
      if (!nearest.empty()) message += "; the nearest is \"" + nearest + "\"";
      errors.emplace_back(name.source().begin.line, message);
    }
  }
};

Table::Table(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Table::Table(Table&&) noexcept = default;
Table::~Table() = default;

Result<Table> Table::parse(std::string_view text, std::string file) {
  auto impl = std::make_unique<Impl>();
  try {
    impl->root = toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    return Error{Code::kInvalid, file + ":" + std::to_string(at.line) + ":" +
                                     std::to_string(at.column) + ": " +
                                     std::string(error.description())};
  }
  impl->file = std::move(file);
  return Table(std::move(impl));
}

std::string Table::text(const std::string& key, std::optional<std::string> fallback) {
  const auto* node = impl_->find(key);
  if (node == nullptr) {
    if (!fallback) impl_->missing(key);
    return fallback.value_or("");
  }
  if (const auto value = node->value_exact<std::string>()) return *value;
  impl_->note(node, "\"" + key + "\" must be a text in quotes");
  return fallback.value_or("");
}

std::uint64_t Table::number(const std::string& key, std::optional<std::uint64_t> fallback,
                            std::uint64_t min, std::uint64_t max) {
  const auto* node = impl_->find(key);
  if (node == nullptr) {
    if (!fallback) impl_->missing(key);
    return fallback.value_or(min);
  }
  const auto value = node->value_exact<std::int64_t>();
  if (value && *value >= 0) {
    const auto number = static_cast<std::uint64_t>(*value);
    if (number >= min && number <= max) return number;
  }
  impl_->note(node, "\"" + key + "\" must be a number from " + std::to_string(min) + " to " +
                        std::to_string(max));
  return fallback.value_or(min);
}

std::uint64_t Table::size(const std::string& key, std::optional<std::uint64_t> fallback,
                          std::uint64_t min, std::uint64_t max) {
  const auto* node = impl_->find(key);
  if (node == nullptr) {
    if (!fallback) impl_->missing(key);
    return fallback.value_or(min);
  }
  Result<std::uint64_t> value{Error{Code::kInvalid, "must be a size such as \"64 MiB\""}};
  if (const auto text = node->value_exact<std::string>()) value = parse_size(*text);
  if (const auto plain = node->value_exact<std::int64_t>(); plain && *plain >= 0)
    value = static_cast<std::uint64_t>(*plain);
  if (!value.ok()) {
    impl_->note(node, "\"" + key + "\": " + value.error().message);
  } else if (*value < min || *value > max) {
    impl_->note(node, "\"" + key + "\" is " + size_text(*value) + ": from " + size_text(min) +
                          " to " + size_text(max) + " are allowed");
  } else {
    return *value;
  }
  return fallback.value_or(min);
}

std::chrono::nanoseconds Table::duration(const std::string& key,
                                         std::chrono::nanoseconds fallback) {
  const auto* node = impl_->find(key);
  if (node == nullptr) return fallback;
  const auto text = node->value_exact<std::string>();
  const auto value = text ? parse_duration(*text)
                          : Result<std::chrono::nanoseconds>(
                                Error{Code::kInvalid, "must be a duration such as \"30 s\""});
  if (value.ok() && value->count() > 0) return *value;
  impl_->note(node, "\"" + key + "\": " +
                        (value.ok() ? "must be longer than nothing" : value.error().message));
  return fallback;
}

std::vector<std::string> Table::texts(const std::string& key,
                                      std::optional<std::vector<std::string>> fallback) {
  const auto* node = impl_->find(key);
  if (node == nullptr) {
    if (!fallback) impl_->missing(key);
    return fallback.value_or(std::vector<std::string>());
  }
  std::vector<std::string> values;
  if (const auto* array = node->as_array()) {
    for (const auto& item : *array)
      if (const auto value = item.value_exact<std::string>()) values.push_back(*value);
    if (values.size() == array->size()) return values;
  }
  impl_->note(node, "\"" + key + "\" must be a list of texts: [\"one\", \"two\"]");
  return fallback.value_or(std::vector<std::string>());
}

std::string Table::choice(const std::string& key, const std::string& fallback,
                          const std::vector<std::string>& allowed) {
  const auto value = text(key, fallback);
  if (std::ranges::find(allowed, value) != allowed.end()) return value;
  std::string list;
  for (const auto& one : allowed) list += (list.empty() ? "" : ", ") + one;
  complain(key, "\"" + value + "\" is not one of: " + list);
  return fallback;
}

void Table::complain(const std::string& key, const std::string& why) {
  impl_->note(impl_->root.at_path(key).node(), "\"" + key + "\": " + why);
}

Result<> Table::finish() {
  impl_->find_unknown(impl_->root, "");
  if (impl_->errors.empty()) return {};
  std::ranges::sort(impl_->errors);
  std::string lines;
  for (const auto& [line, message] : impl_->errors) {
    if (!lines.empty()) lines += "\n";
    lines += impl_->file + ":" + (line == 0 ? "" : std::to_string(line) + ":") + " " + message;
  }
  return Error{Code::kInvalid, lines};
}

}  // namespace square::config
