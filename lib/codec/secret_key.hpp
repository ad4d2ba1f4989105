#pragma once

#include <array>
#include <memory>
#include <span>

#include "env/random.hpp"

namespace square::codec {

// Key bytes, wiped when destroyed and kept out of core dumps and swap where the system can: they
// lie in OpenSSL's secure heap while that has room, else in ordinary memory.
class SecretKey {
 public:
  SecretKey();  // all zero
  explicit SecretKey(std::span<const std::byte, 32> bytes);
  SecretKey(SecretKey&&) noexcept;
  SecretKey& operator=(SecretKey&&) noexcept;
  ~SecretKey();
  static SecretKey generate(env::Random& random);
  SecretKey clone() const { return SecretKey(bytes()); }
  std::span<const std::byte, 32> bytes() const;

 private:
  friend SecretKey derive_key(std::span<const std::byte>, Bytes, std::string_view);

  struct Wipe {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Wipe> bytes_;
};

// HKDF-SHA256 of `secret`, for one purpose. Distinct salts or purposes give independent keys.
SecretKey derive_key(std::span<const std::byte> secret, Bytes salt, std::string_view purpose);

}  // namespace square::codec
