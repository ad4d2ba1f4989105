#pragma once
// What a run tells: numbers, latencies, and targets with what was reached.

#include <string>
#include <string_view>
#include <vector>

#include "bench/samples.hpp"

namespace square::bench {

class Report {
 public:
  explicit Report(std::string run) : run_(std::move(run)) {}

  void number(std::string name, double value, std::string unit);
  // Percentiles of microseconds.
  void latency(const std::string& name, const Samples& samples_us);
  // What was measured, and what it must be.
  void at_most(std::string name, double value, double bound, std::string unit);
  void at_least(std::string name, double value, double bound, std::string unit);

  bool all_met() const;
  std::string text() const;
  std::string json() const;

 private:
  struct Number {
    std::string name;
    double value;
    std::string unit;
  };
  struct Target {
    std::string name;
    double value;
    double bound;
    bool at_most;
    std::string unit;
    bool met() const { return at_most ? value <= bound : value >= bound; }
  };

  std::string run_;
  std::vector<Number> numbers_;
  std::vector<Target> targets_;
};

// Three significant digits, never with an exponent: "1.31", "12300".
std::string digits(double value);

}  // namespace square::bench
