#include "codec/sealed_field.hpp"

#include <openssl/crypto.h>

#include "base/extent.hpp"
#include "codec/aead.hpp"

namespace square::codec {
namespace {

constexpr std::string_view kPurpose = "square record field v1";

Aead cipher_of(const SecretKey& data_key, const SealedField& field, Aead::Direction direction) {
  return {derive_key(data_key.bytes(), field.salt, kPurpose), direction};
}

ByteVector additional_of(const FieldPlace& place, KeyId key) {
  ByteVector out;
  Writer writer(out);
  writer.put(place.cell);
  writer.put(place.group);
  writer.put(key);
  writer.put_raw(as_bytes(place.record));
  return out;
}

}  // namespace

SealedField seal_field(const SecretKey& data_key, KeyId key_id, const FieldPlace& place,
                       std::string_view text, env::Random& random) {
  SQ_CHECK(text.size() <= kFieldBytesMax);
  SealedField field;
  field.key = key_id;
  random.fill(field.salt);
  field.sealed.resize(text.size());
  auto cipher = cipher_of(data_key, field, Aead::Direction::kEncrypt);
  cipher.begin(Nonce{}, additional_of(place, key_id));
  cipher.add(as_bytes(text), field.sealed.data());
  field.tag = cipher.finish_encryption();
  return field;
}

Result<std::string> open_field(const SecretKey& data_key, const FieldPlace& place,
                               const SealedField& field) {
  auto cipher = cipher_of(data_key, field, Aead::Direction::kDecrypt);
  cipher.begin(Nonce{}, additional_of(place, field.key));
  std::string text(field.sealed.size(), '\0');
  cipher.add(field.sealed, std::as_writable_bytes(std::span(text)).data());
  if (cipher.finish_decryption(field.tag)) return text;
  OPENSSL_cleanse(text.data(), text.size());
  return Error{Code::kCorrupt,
               "sealed field of record '" + std::string(place.record) + "' does not open"};
}

void put(Writer& out, const SealedField& field) {
  out.put(field.key);
  out.put_raw(field.salt);
  out.put_raw(field.tag);
  out.put_sized(field.sealed);
}

void get(Reader& in, SealedField& field) {
  in.get(field.key);
  if (const auto salt = in.get_raw(field.salt.size()); in.ok())
    std::memcpy(field.salt.data(), salt.data(), salt.size());
  square::get(in, field.tag);
  const auto sealed = in.get_sized();
  if (sealed.size() > kFieldBytesMax) return in.fail();
  field.sealed.assign(sealed.begin(), sealed.end());
}

}  // namespace square::codec
