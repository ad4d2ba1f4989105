#include "codec/secret_key.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

namespace square::codec {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kSecureHeapBytes = 256u << 10;

std::byte* allocate() {
  // The heap is locked, guarded and left out of core dumps. Whether that works depends on limits of
  // the system; keys are usable either way.
  [[maybe_unused]] static const int initialised =
      CRYPTO_secure_malloc_init(kSecureHeapBytes, kKeyBytes);
  auto* bytes = OPENSSL_secure_zalloc(kKeyBytes);
  if (bytes == nullptr) bytes = OPENSSL_zalloc(kKeyBytes);
  SQ_CHECK(bytes != nullptr, "out of memory");
  return static_cast<std::byte*>(bytes);
}

OSSL_PARAM octets(const char* name, Bytes bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(bytes.data()),
                                           bytes.size());
}

}  // namespace

void SecretKey::Wipe::operator()(std::byte* bytes) const {
  OPENSSL_secure_clear_free(bytes, kKeyBytes);
}

SecretKey::SecretKey() : bytes_(allocate()) {}
SecretKey::SecretKey(std::span<const std::byte, 32> bytes) : SecretKey() {
  std::memcpy(bytes_.get(), bytes.data(), kKeyBytes);
}
SecretKey::SecretKey(SecretKey&&) noexcept = default;
SecretKey& SecretKey::operator=(SecretKey&&) noexcept = default;
SecretKey::~SecretKey() = default;

SecretKey SecretKey::generate(env::Random& random) {
  SecretKey key;
  random.fill({key.bytes_.get(), kKeyBytes});
  return key;
}

std::span<const std::byte, 32> SecretKey::bytes() const {
  return std::span<const std::byte, 32>(bytes_.get(), kKeyBytes);
}

SecretKey derive_key(std::span<const std::byte> secret, Bytes salt, std::string_view purpose) {
  static EVP_KDF* const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  SQ_CHECK(algorithm != nullptr, "no HKDF in libcrypto");
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      EVP_KDF_CTX_new(algorithm), EVP_KDF_CTX_free);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, secret),
      octets(OSSL_KDF_PARAM_SALT, salt),
      octets(OSSL_KDF_PARAM_INFO, as_bytes(purpose)),
      OSSL_PARAM_construct_end(),
  };
  SecretKey key;
  const auto done = EVP_KDF_derive(
      context.get(), reinterpret_cast<unsigned char*>(key.bytes_.get()), kKeyBytes, parameters);
  SQ_CHECK(done == 1, "HKDF failed");
  return key;
}

}  // namespace square::codec
