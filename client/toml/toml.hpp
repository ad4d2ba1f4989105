#pragma once
// A TOML file read against what a program asks of it. Asking declares the key; what nobody asked
// for is an error with its line and the nearest name. All errors are gathered, so that one look at
// the output mends the whole file.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace square::config {

class Table {
 public:
  // Errors: kInvalid (not TOML; with file, line and column).
  static Result<Table> parse(std::string_view text, std::string file);
  Table(Table&&) noexcept;
  ~Table();

  // `key` is a dotted path: "pool.disks". A wrong value is noted, and the default given instead.
  // Without a default the key is required.
  std::string text(const std::string& key, std::optional<std::string> fallback = std::nullopt);
  std::uint64_t number(const std::string& key, std::optional<std::uint64_t> fallback,
                       std::uint64_t min, std::uint64_t max);
  std::uint64_t size(const std::string& key, std::optional<std::uint64_t> fallback,
                     std::uint64_t min, std::uint64_t max);
  std::chrono::nanoseconds duration(const std::string& key, std::chrono::nanoseconds fallback);
  std::vector<std::string> texts(const std::string& key,
                                 std::optional<std::vector<std::string>> fallback = std::nullopt);
  // One of `allowed`.
  std::string choice(const std::string& key, const std::string& fallback,
                     const std::vector<std::string>& allowed);
  // Notes that the value of `key` is wrong, at its line.
  void complain(const std::string& key, const std::string& why);

  // Errors: kInvalid with one line for each thing that is wrong, unknown keys included.
  Result<> finish();

 private:
  struct Impl;
  explicit Table(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::config
