#include "codec/aead.hpp"

#include <openssl/evp.h>

namespace square::codec {
namespace {

const EVP_CIPHER* algorithm() {
  static EVP_CIPHER* const fetched = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  SQ_CHECK(fetched != nullptr, "no AES-256-GCM in libcrypto");
  return fetched;
}

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace

void Aead::Free::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }

Aead::Aead(const SecretKey& key, Direction direction)
    : context_(EVP_CIPHER_CTX_new()), direction_(direction) {
  SQ_CHECK(context_ != nullptr, "out of memory");
  const auto done = EVP_CipherInit_ex2(context_.get(), algorithm(), raw(key.bytes().data()),
                                       nullptr, direction == Direction::kEncrypt ? 1 : 0, nullptr);
  SQ_CHECK(done == 1, "AES-256-GCM: key refused");
}

void Aead::begin(const Nonce& nonce, Bytes additional) {
  const auto encrypt = direction_ == Direction::kEncrypt ? 1 : 0;
  int size = 0;
  SQ_CHECK(EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, raw(nonce.data()), encrypt,
                              nullptr) == 1 &&
           EVP_CipherUpdate(context_.get(), nullptr, &size, raw(additional.data()),
                            static_cast<int>(additional.size())) == 1);
}

void Aead::add(Bytes in, std::byte* out) {
  if (in.empty()) return;
  int size = 0;
  SQ_CHECK(EVP_CipherUpdate(context_.get(), raw(out), &size, raw(in.data()),
                            static_cast<int>(in.size())) == 1);
}

Tag Aead::finish_encryption() {
  Tag tag;
  unsigned char none[16];
  int size = 0;
  SQ_CHECK(EVP_CipherFinal_ex(context_.get(), none, &size) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()),
                               tag.data()) == 1);
  return tag;
}

bool Aead::finish_decryption(const Tag& tag) {
  auto copy = tag;
  unsigned char none[16];
  int size = 0;
  SQ_CHECK(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(copy.size()),
                               copy.data()) == 1);
  return EVP_CipherFinal_ex(context_.get(), none, &size) == 1;
}

}  // namespace square::codec
