#include "codec/sealed_field.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "unit/codec/sealing.hpp"

using namespace square;
using namespace square::codec;
using namespace square::test;

namespace {

const FieldPlace kPlace{0xce11, GroupId(1), "vol/0000010000000001"};

SealedField sample(env::Random& random) {
  return seal_field(key_of(7), kSampleKey, kPlace, "payroll", random);
}

}  // namespace

TEST_CASE("a sealed field opens where it was sealed, and does not show its text") {
  SeededRandom random(1);
  const auto field = sample(random);
  CHECK(*open_field(key_of(7), kPlace, field) == "payroll");
  ByteVector bytes;
  Writer out(bytes);
  put(out, field);
  CHECK(as_text(Bytes(bytes)).find("payroll") == std::string_view::npos);
  Reader in(bytes);
  SealedField again;
  get(in, again);
  CHECK(in.finished());
  CHECK(again == field);
}

TEST_CASE("a sealed field opens in no other cell, group or record, under no other key") {
  SeededRandom random(1);
  const auto field = sample(random);
  for (const auto& place : {FieldPlace{0xce12, kPlace.group, kPlace.record},
                            FieldPlace{kPlace.cell, GroupId(2), kPlace.record},
                            FieldPlace{kPlace.cell, kPlace.group, "vol/0000010000000002"},
                            FieldPlace{kPlace.cell, kPlace.group, "snap/0000010000000001"}})
    CHECK(open_field(key_of(7), place, field).code() == Code::kCorrupt);
  CHECK(open_field(key_of(8), kPlace, field).code() == Code::kCorrupt);
  auto renamed = field;
  renamed.key = KeyId(43);
  CHECK(open_field(key_of(7), kPlace, renamed).code() == Code::kCorrupt);
}

TEST_CASE("every flipped bit of a sealed field is noticed") {
  SeededRandom random(1);
  ByteVector bytes;
  Writer out(bytes);
  put(out, sample(random));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    Reader in(flipped);
    SealedField field;
    get(in, field);
    CHECK_FALSE((in.finished() && open_field(key_of(7), kPlace, field).ok()));
  }
}

TEST_CASE("the same text sealed again has another salt, so no key and nonce come twice") {
  SeededRandom random(1);
  std::set<std::array<std::byte, 32>> salts;
  for (int i = 0; i < 100; ++i) salts.insert(sample(random).salt);
  CHECK(salts.size() == 100);
}

TEST_CASE("a field of any length up to the limit opens; a longer one is refused unread") {
  SeededRandom random(1);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kFieldBytesMax}) {
    const std::string text(size, 'x');
    CHECK(*open_field(key_of(7), kPlace, seal_field(key_of(7), kSampleKey, kPlace, text, random)) ==
          text);
  }
  SealedField longer;
  longer.sealed.resize(kFieldBytesMax + 1);
  ByteVector bytes;
  Writer out(bytes);
  put(out, longer);
  Reader in(bytes);
  get(in, longer);
  CHECK_FALSE(in.ok());
}
