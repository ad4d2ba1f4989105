#include "codec/key_wrap.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

namespace square::codec {
namespace {

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

Pkey private_pkey(const SecretKey& key) {
  Pkey pkey(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, raw(key.bytes().data()), 32),
            EVP_PKEY_free);
  SQ_CHECK(pkey != nullptr, "no X25519 in libcrypto");
  return pkey;
}

// The key that both sides of an exchange can make; absent for a degenerate public key.
std::optional<SecretKey> agree(const SecretKey& own, const PublicKey& other,
                               const PublicKey& ephemeral, const PublicKey& recipient) {
  const auto pkey = private_pkey(own);
  const Pkey peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, raw(other.data()), 32),
                  EVP_PKEY_free);
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(pkey.get(), nullptr), EVP_PKEY_CTX_free);
  std::array<std::byte, 32> shared{};
  auto size = shared.size();
  if (peer == nullptr || context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), raw(shared.data()), &size) != 1)
    return std::nullopt;
  std::array<std::byte, 64> salt;
  std::ranges::copy(recipient, std::ranges::copy(ephemeral, salt.begin()).out);
  auto key = derive_key(shared, salt, "square remote wrap v1");
  OPENSSL_cleanse(shared.data(), shared.size());
  return key;
}

void seal(const SecretKey& wrapping, const Nonce& nonce, const SecretKey& key, Bytes name,
          std::array<std::byte, 32>& sealed, Tag& tag) {
  Aead cipher(wrapping, Aead::Direction::kEncrypt);
  cipher.begin(nonce, name);
  cipher.add(key.bytes(), sealed.data());
  tag = cipher.finish_encryption();
}

Result<SecretKey> open(const SecretKey& wrapping, const Nonce& nonce, Bytes name,
                       const std::array<std::byte, 32>& sealed, const Tag& tag) {
  Aead cipher(wrapping, Aead::Direction::kDecrypt);
  cipher.begin(nonce, name);
  std::array<std::byte, 32> plain;
  cipher.add(sealed, plain.data());
  const auto authentic = cipher.finish_decryption(tag);
  SecretKey key(plain);
  OPENSSL_cleanse(plain.data(), plain.size());
  if (!authentic) return Error{Code::kDenied, "wrapped key does not open"};
  return key;
}

}  // namespace

Wrap wrap_key(const SecretKey& wrapping, const SecretKey& key, Bytes name, env::Random& random) {
  Wrap wrap;
  random.fill(wrap.nonce);
  seal(wrapping, wrap.nonce, key, name, wrap.sealed, wrap.tag);
  return wrap;
}

Result<SecretKey> unwrap_key(const SecretKey& wrapping, const Wrap& wrap, Bytes name) {
  return open(wrapping, wrap.nonce, name, wrap.sealed, wrap.tag);
}

PublicKey public_key(const SecretKey& private_key) {
  const auto pkey = private_pkey(private_key);
  PublicKey out;
  auto size = out.size();
  SQ_CHECK(EVP_PKEY_get_raw_public_key(pkey.get(), raw(out.data()), &size) == 1);
  return out;
}

Result<RemoteWrap> wrap_for_remote(const PublicKey& remote, const SecretKey& key, Bytes name,
                                   env::Random& random) {
  const auto own = SecretKey::generate(random);
  RemoteWrap wrap;
  wrap.ephemeral = public_key(own);
  const auto agreed = agree(own, remote, wrap.ephemeral, remote);
  if (!agreed) return Error{Code::kInvalid, "remote site's public key is not usable"};
  seal(*agreed, Nonce{}, key, name, wrap.sealed, wrap.tag);  // the key is fresh: any nonce will do
  return wrap;
}

Result<SecretKey> unwrap_at_remote(const SecretKey& private_key, const RemoteWrap& wrap,
                                   Bytes name) {
  const auto agreed = agree(private_key, wrap.ephemeral, wrap.ephemeral, public_key(private_key));
  if (!agreed) return Error{Code::kDenied, "wrapped key does not open"};
  return open(*agreed, Nonce{}, name, wrap.sealed, wrap.tag);
}

}  // namespace square::codec
