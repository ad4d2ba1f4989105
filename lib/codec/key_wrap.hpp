#pragma once
// A key sealed under another, for a file: docs/formats/key_store.md.

#include <optional>

#include "codec/aead.hpp"

namespace square::codec {

// Under a symmetric key. The nonce is random: a wrapping key wraps far fewer than 2^32 keys.
struct Wrap {
  Nonce nonce{};
  std::array<std::byte, 32> sealed{};
  Tag tag{};
  bool operator==(const Wrap&) const = default;
};

using PublicKey = std::array<std::byte, 32>;  // X25519

// For whoever holds the private half of a public key; nobody here can open it again.
struct RemoteWrap {
  PublicKey ephemeral{};
  std::array<std::byte, 32> sealed{};
  Tag tag{};
  bool operator==(const RemoteWrap&) const = default;
};

// `name` says which key it is: a wrap opens only under the name that it was made for.
Wrap wrap_key(const SecretKey& wrapping, const SecretKey& key, Bytes name, env::Random& random);
// Errors: kDenied (another wrapping key, another name, or damage: they cannot be told apart).
Result<SecretKey> unwrap_key(const SecretKey& wrapping, const Wrap& wrap, Bytes name);

PublicKey public_key(const SecretKey& private_key);
// Errors: kInvalid (a public key that gives everyone the same secret).
Result<RemoteWrap> wrap_for_remote(const PublicKey& remote, const SecretKey& key, Bytes name,
                                   env::Random& random);
// Errors: kDenied, as above.
Result<SecretKey> unwrap_at_remote(const SecretKey& private_key, const RemoteWrap& wrap,
                                   Bytes name);

}  // namespace square::codec
