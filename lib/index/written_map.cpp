#include "index/written_map.hpp"

#include <algorithm>
#include <bit>

namespace square::index {
namespace {

constexpr std::uint64_t kBits = format::kWrittenPageBits;

std::uint64_t mask_of(std::uint64_t unit) { return std::uint64_t{1} << (unit % 64); }
std::size_t word_of(std::uint64_t unit) { return static_cast<std::size_t>(unit % kBits / 64); }

}  // namespace

bool WrittenMap::test(std::uint64_t unit) const {
  const auto page = pages.find(unit / kBits);
  return page != pages.end() && (page->second[word_of(unit)] & mask_of(unit)) != 0;
}

std::uint64_t WrittenMap::set(std::uint64_t unit) {
  pages[unit / kBits][word_of(unit)] |= mask_of(unit);
  return unit / kBits;
}

std::uint64_t WrittenMap::clear(std::uint64_t unit) {
  const auto page = pages.find(unit / kBits);
  if (page != pages.end()) {
    page->second[word_of(unit)] &= ~mask_of(unit);
    if (page->second == format::WrittenPage{}) pages.erase(page);
  }
  return unit / kBits;
}

std::uint64_t WrittenMap::next_set(std::uint64_t unit, std::uint64_t end) const {
  for (auto page = pages.lower_bound(unit / kBits); page != pages.end(); ++page) {
    unit = std::max(unit, page->first * kBits);
    if (unit >= end) return end;
    for (auto word = word_of(unit); word < page->second.size(); ++word) {
      const auto first = page->first * kBits + word * 64;
      auto bits = page->second[word];
      if (unit > first) bits &= ~std::uint64_t{0} << (unit - first);
      if (bits != 0) return std::min(end, first + static_cast<unsigned>(std::countr_zero(bits)));
    }
  }
  return end;
}

std::uint64_t WrittenMap::next_clear(std::uint64_t unit, std::uint64_t end) const {
  while (unit < end && test(unit)) ++unit;
  return unit;
}

std::uint64_t WrittenMap::count() const {
  std::uint64_t bits = 0;
  for (const auto& [number, page] : pages)
    for (const auto word : page) bits += static_cast<unsigned>(std::popcount(word));
  return bits;
}

}  // namespace square::index
