#include "base/bytes.hpp"

#include <catch2/catch.hpp>

using namespace square;

TEST_CASE("a reader gives back what a writer put, in order") {
  ByteVector out;
  Writer writer(out);
  writer.put(std::uint16_t{0x1234});
  writer.put(VolumeId(7));
  writer.put(Epoch{3, 99});
  writer.put_sized(as_bytes("name"));
  Reader reader(out);
  CHECK(reader.get<std::uint16_t>() == 0x1234);
  VolumeId volume;
  reader.get(volume);
  CHECK(volume == VolumeId(7));
  Epoch epoch;
  reader.get(epoch);
  CHECK(epoch == Epoch{3, 99});
  CHECK(as_text(reader.get_sized()) == "name");
  CHECK(reader.finished());
}

TEST_CASE("a reader that was cut short fails, and stays failed") {
  ByteVector out;
  Writer(out).put(std::uint32_t{1000});
  Reader reader(out);
  CHECK(reader.get_sized().empty());
  CHECK_FALSE(reader.ok());
  CHECK(reader.get<std::uint8_t>() == 0);
  CHECK_FALSE(reader.finished());
}

TEST_CASE("a uuid reads back from its text, and nothing else does") {
  Uuid uuid;
  for (std::size_t i = 0; i < 16; ++i) uuid.bytes[i] = static_cast<std::uint8_t>(i * 17);
  const auto text = uuid.to_string();
  CHECK(text == "00112233-4455-6677-8899-aabbccddeeff");
  CHECK(*Uuid::parse(text) == uuid);
  for (const auto* bad :
       {"", "00112233-4455-6677-8899-aabbccddeef", "0011223344556677-8899-aabbccddee-f",
        "00112233-4455-6677-8899-aabbccddeefg"})
    CHECK(Uuid::parse(bad).code() == Code::kInvalid);
}
