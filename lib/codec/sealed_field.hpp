#pragma once
// A short text of a tenant, sealed by itself: names, in records. docs/formats/sealed_field.md.
//
// Key: HKDF-SHA256(data key, a fresh random 256-bit salt), used for this one field; so the nonce is
// a constant, and neither a crash nor a state that was rolled back can bring a (key, nonce) pair
// again. Additional data: where the field stands, so that it opens nowhere else. Sealed once, where
// the record is made; the record's bytes are the same on every node.

#include <array>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "codec/secret_key.hpp"

namespace square::codec {

struct SealedField {
  KeyId key;  // of the data key
  std::array<std::byte, 32> salt{};
  std::array<std::byte, 16> tag{};
  ByteVector sealed;  // as long as the text
  bool operator==(const SealedField&) const = default;
};

// Where a field stands: in which record of which group.
struct FieldPlace {
  std::uint64_t cell = 0;  // first 8 bytes of the cell's uuid
  GroupId group;
  std::string_view record;  // the record's key; it holds one field
};

inline constexpr std::size_t kFieldBytesMax = 1024;

SealedField seal_field(const SecretKey& data_key, KeyId key_id, const FieldPlace& place,
                       std::string_view text, env::Random& random);
// Errors: kCorrupt (another place, another key, or changed).
Result<std::string> open_field(const SecretKey& data_key, const FieldPlace& place,
                               const SealedField& field);

void put(Writer& out, const SealedField& field);
// Fails the reader on more than kFieldBytesMax.
void get(Reader& in, SealedField& field);

}  // namespace square::codec
