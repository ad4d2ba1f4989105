#pragma once
// Bytes that must never change, as hex text in tests/golden/<name>.hex. With SQUARE_GOLDEN_WRITE
// set in the environment they are written instead: for a new format, never for an existing one.

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "base/bytes.hpp"

namespace square::test {

std::string golden_dir();

inline std::string golden_path(const std::string& name) {
  return golden_dir() + "/" + name + ".hex";
}

// 32 bytes a line.
inline std::string hex_lines(Bytes bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto value = std::to_integer<unsigned>(bytes[i]);
    text += "0123456789abcdef"[value >> 4];
    text += "0123456789abcdef"[value & 15];
    if (i % 32 == 31 || i + 1 == bytes.size()) text += '\n';
  }
  return text;
}

// The golden file's text for `name`, after it was written when that was asked for.
inline std::string golden_hex(const std::string& name, Bytes current) {
  if (std::getenv("SQUARE_GOLDEN_WRITE") != nullptr)
    std::ofstream(golden_path(name)) << hex_lines(current);
  std::ifstream in(golden_path(name));
  return {std::istreambuf_iterator<char>(in), {}};
}

inline ByteVector golden_bytes(const std::string& name) {
  std::ifstream in(golden_path(name));
  ByteVector bytes;
  char high = 0, low = 0;
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  while (in >> high >> low) bytes.push_back(static_cast<std::byte>(value(high) * 16 + value(low)));
  return bytes;
}

}  // namespace square::test
