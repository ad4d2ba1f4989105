#pragma once

#include "base/bytes.hpp"

namespace square::env {

// Cryptographically strong in production (a failing source ends the process: nothing good can be
// made of weak keys), a seeded stream in the simulation.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;

  template <std::integral T>
  T draw() {
    T value;
    fill(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  Uuid uuid() {
    Uuid id;
    fill(std::as_writable_bytes(std::span(id.bytes)));
    id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);  // version 4
    id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
    return id;
  }
};

}  // namespace square::env
