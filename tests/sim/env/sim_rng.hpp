#pragma once
// The seeded numbers of a simulation: xoshiro256** started by splitmix64. Integers only, so every
// platform draws the same.

#include <cstdint>

namespace square::sim {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) {
    for (auto& word : state_) word = split(seed);
  }
  std::uint64_t next() {
    const auto result = rotate(state_[1] * 5, 7) * 9;
    const auto t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  // In [0, limit); 0 when limit is 0.
  std::uint64_t below(std::uint64_t limit) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * limit) >> 64);
  }
  // In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + below(high - low + 1);
  }
  bool chance_ppm(std::uint32_t ppm) { return ppm != 0 && below(1'000'000) < ppm; }
  // A stream of its own, which later draws from this one do not disturb.
  Rng fork() { return Rng(next()); }

 private:
  static std::uint64_t rotate(std::uint64_t x, int bits) { return x << bits | x >> (64 - bits); }
  static std::uint64_t split(std::uint64_t& seed) {
    auto z = seed += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
  }
  std::uint64_t state_[4];
};

}  // namespace square::sim
