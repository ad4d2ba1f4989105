#pragma once
// What was ever written of one volume: a bit for each 64 KiB, in pages as they are stored.

#include <map>

#include "format/index_keys.hpp"

namespace square::index {

class WrittenMap {
 public:
  using Pages = std::map<std::uint64_t, format::WrittenPage>;

  bool test(std::uint64_t unit) const;
  // Both return the page that changed.
  std::uint64_t set(std::uint64_t unit);
  std::uint64_t clear(std::uint64_t unit);  // a page without bits goes
  // The first written unit in [unit, end), or `end`; the first one not written.
  std::uint64_t next_set(std::uint64_t unit, std::uint64_t end) const;
  std::uint64_t next_clear(std::uint64_t unit, std::uint64_t end) const;
  std::uint64_t count() const;

  Pages pages;
};

}  // namespace square::index
