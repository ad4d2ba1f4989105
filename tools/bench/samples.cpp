#include "bench/samples.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace square::bench {

double Samples::percentile(double percent) const {
  if (values_.empty()) return 0;
  if (!sorted_) std::ranges::sort(values_);
  sorted_ = true;
  const auto count = static_cast<double>(values_.size());
  const auto rank = std::clamp(std::ceil(percent / 100 * count), 1.0, count);
  return values_[static_cast<std::size_t>(rank) - 1];
}

double Samples::mean() const {
  if (values_.empty()) return 0;
  return std::accumulate(values_.begin(), values_.end(), 0.0) / static_cast<double>(values_.size());
}

}  // namespace square::bench
