#pragma once
// What was measured many times, as one number.

#include <cstddef>
#include <vector>

namespace square::bench {

class Samples {
 public:
  void add(double value) {
    values_.push_back(value);
    sorted_ = false;
  }
  std::size_t count() const { return values_.size(); }
  // The smallest value that at least `percent` of all are not above; 0 when there is none.
  double percentile(double percent) const;
  double median() const { return percentile(50); }
  double mean() const;
  double max() const { return percentile(100); }

 private:
  mutable std::vector<double> values_;
  mutable bool sorted_ = true;
};

}  // namespace square::bench
