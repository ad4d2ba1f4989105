#pragma once

#include <array>
#include <memory>

#include "base/bytes.hpp"

namespace square::codec {

// SHA-256 of what comes in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(Bytes bytes);
  // Once, at the end.
  std::array<std::byte, 32> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::codec
