#pragma once
// AES-256-GCM with the key set once. Private to the codec folder.

#include <memory>

#include "codec/secret_key.hpp"

struct evp_cipher_ctx_st;

namespace square::codec {

using Nonce = std::array<std::byte, 12>;
using Tag = std::array<std::byte, 16>;

// One direction under one key. Use: begin, add (any number), finish; for each message a nonce that
// this key has never seen. Not thread-safe.
class Aead {
 public:
  enum class Direction { kEncrypt, kDecrypt };
  Aead(const SecretKey& key, Direction direction);

  void begin(const Nonce& nonce, Bytes additional);
  // `out` has room for in.size().
  void add(Bytes in, std::byte* out);
  Tag finish_encryption();
  // False: the bytes given out since begin() are not what was sealed, and must be wiped.
  bool finish_decryption(const Tag& tag);

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const;
  };
  std::unique_ptr<evp_cipher_ctx_st, Free> context_;
  Direction direction_;
};

}  // namespace square::codec
