#pragma once

#include "env/random.hpp"

namespace square::env {

// The kernel's generator. A failure ends the process.
class SystemRandom final : public Random {
 public:
  void fill(MutableBytes out) override;
};

}  // namespace square::env
