#pragma once

#include <cstring>

#include "env/random.hpp"
#include "sim/env/sim_rng.hpp"

namespace square::sim {

class SimRandom final : public env::Random {
 public:
  explicit SimRandom(Rng rng) : rng_(rng) {}
  void fill(MutableBytes out) override {
    while (!out.empty()) {
      const auto word = rng_.next();
      const auto part = std::min(out.size(), sizeof(word));
      std::memcpy(out.data(), &word, part);
      out = out.subspan(part);
    }
  }

 private:
  Rng rng_;
};

}  // namespace square::sim
