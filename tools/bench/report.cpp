#include "bench/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace square::bench {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

}  // namespace

std::string digits(double value) {
  if (value == 0 || !std::isfinite(value)) return "0";
  const auto magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", std::clamp(2 - magnitude, 0, 9), value);
  return text;
}

void Report::number(std::string name, double value, std::string unit) {
  numbers_.push_back({std::move(name), value, std::move(unit)});
}

void Report::latency(const std::string& name, const Samples& samples_us) {
  for (const auto& [text, percent] :
       {std::pair{"50", 50.0}, {"90", 90.0}, {"99", 99.0}, {"99.9", 99.9}})
    number(name + " latency p" + text, samples_us.percentile(percent), "us");
  number(name + " latency max", samples_us.max(), "us");
}

void Report::at_most(std::string name, double value, double bound, std::string unit) {
  targets_.push_back({std::move(name), value, bound, true, std::move(unit)});
}

void Report::at_least(std::string name, double value, double bound, std::string unit) {
  targets_.push_back({std::move(name), value, bound, false, std::move(unit)});
}

bool Report::all_met() const {
  return std::ranges::all_of(targets_, [](const Target& target) { return target.met(); });
}

std::string Report::text() const {
  std::size_t width = 0;
  for (const auto& number : numbers_) width = std::max(width, number.name.size());
  for (const auto& target : targets_) width = std::max(width, target.name.size());
  std::string out = run_ + "\n";
  for (const auto& [name, value, unit] : numbers_)
    out += "  " + padded(name, width) + "  " + digits(value) + " " + unit + "\n";
  for (const auto& target : targets_)
    out += "  " + padded(target.name, width) + "  " + digits(target.value) + " " + target.unit +
           ", at " + (target.at_most ? "most " : "least ") + digits(target.bound) + ": " +
           (target.met() ? "met" : "MISSED") + "\n";
  return out;
}

std::string Report::json() const {
  std::string out = "{\"run\":" + quoted(run_) + ",\"numbers\":[";
  const char* comma = "";
  for (const auto& [name, value, unit] : numbers_) {
    out += std::exchange(comma, ",") + ("{\"name\":" + quoted(name)) +
           ",\"value\":" + digits(value) + ",\"unit\":" + quoted(unit) + "}";
  }
  out += "],\"targets\":[";
  comma = "";
  for (const auto& target : targets_) {
    out += std::exchange(comma, ",") + ("{\"name\":" + quoted(target.name)) +
           ",\"value\":" + digits(target.value) + ",\"unit\":" + quoted(target.unit) +
           (target.at_most ? ",\"at_most\":" : ",\"at_least\":") + digits(target.bound) +
           ",\"met\":" + (target.met() ? "true" : "false") + "}";
  }
  return out + "]}\n";
}

}  // namespace square::bench
