#pragma once
// What a comparison found, one sentence for each difference. Of very many only the first are named:
// memory stays bounded, and nobody reads more.

#include <string>
#include <vector>

namespace square::store {

class Findings {
 public:
  static constexpr std::size_t kNamedMax = 200;

  void add(std::string what) {
    if (++count_ <= kNamedMax) named_.push_back(std::move(what));
  }
  std::size_t count() const { return count_; }
  // One line for each; empty when there is none.
  std::string text() const {
    std::string text;
    for (const auto& what : named_) text += (text.empty() ? "" : "\n") + what;
    if (count_ > named_.size())
      text += "\nand " + std::to_string(count_ - named_.size()) + " more differences";
    return text;
  }

 private:
  std::size_t count_ = 0;
  std::vector<std::string> named_;
};

}  // namespace square::store
