#pragma once

#include <array>
#include <memory>
#include <span>

#include "env/random.hpp"

namespace square::codec {

// Key bytes, wiped when destroyed and kept out of core dumps where the system can.
class SecretKey {
 public:
  SecretKey();
  explicit SecretKey(std::span<const std::byte, 32> bytes);
  SecretKey(SecretKey&&) noexcept;
  SecretKey& operator=(SecretKey&&) noexcept;
  ~SecretKey();
  static SecretKey generate(env::Random& random);
  std::span<const std::byte, 32> bytes() const;

 private:
  std::unique_ptr<std::array<std::byte, 32>> bytes_;
};

}  // namespace square::codec
