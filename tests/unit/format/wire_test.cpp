#include "format/wire.hpp"

#include <catch2/catch.hpp>

using namespace square;
using namespace square::format::wire;

namespace {

std::string hex(Bytes bytes) {
  std::string text;
  constexpr auto digits = "0123456789abcdef";
  for (const auto byte : bytes) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

std::vector<Request> one_of_each() {
  return {OpenSession{TenantId(1), "app7"},
          EndSession{TenantId(1), SessionId(0x1122334455667788)},
          OpenVolume{TenantId(1), "orders", VolumeId(0)},
          Write{TenantId(1), SessionId(5), RequestNumber(6), VolumeId(7), 512, {0xaa, 0xbb}},
          Read{TenantId(1), VolumeId(7), 4096, 1024, "1-42"},
          Zero{TenantId(1), SessionId(5), RequestNumber(7), VolumeId(7), 0, 1u << 30},
          Flush{TenantId(1), VolumeId(7)},
          BlockStatus{TenantId(1), VolumeId(7), 0, 1u << 20, 100, ""},
          Ping{TenantId(9)}};
}

}  // namespace

TEST_CASE("every request reads back as it was sent, and its type is its place in the table") {
  for (const auto& request : one_of_each()) {
    const auto bytes = encode(request);
    INFO(message_name(type_of(request)));
    CHECK(decode_request(type_of(request), bytes).value() == request);
  }
  CHECK(one_of_each().size() == std::variant_size_v<Request>);
}

TEST_CASE("a request cut anywhere is corrupt, and one with a newer tail is not") {
  for (const auto& request : one_of_each()) {
    auto bytes = encode(request);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      CHECK(decode_request(type_of(request), Bytes(bytes).first(size)).code() == Code::kCorrupt);
    bytes.push_back(std::byte{1});
    CHECK(decode_request(type_of(request), bytes).value() == request);
  }
}

TEST_CASE("golden bytes: the prologue, a write with its frame, a reply") {
  CHECK(hex(encode(Prologue{1, 2, 3})) == "535155415245445001000200000000000300000000000000");
  ByteVector bytes;
  Writer out(bytes);
  put(out, Frame{MessageType::kWrite, false, 77, 60, 8192});
  CHECK(hex(bytes) == "53514652040000004d000000000000003c00000000200000");
  CHECK(hex(encode(Request(
            Write{TenantId(1), SessionId(2), RequestNumber(3), VolumeId(4), 4096, {5, 6}}))) ==
        "0100000000000000020000000000000003000000000000000400000000000000"
        "00100000000000000200000005000000000000000600000000000000");
  CHECK(hex(encode_reply(Answer(VolumeOpened{VolumeId(4), "v", GroupId(1), 4096, 65536}))) ==
        "000400000000000000010000007601000000001000000000000000000100");
  CHECK(hex(encode_reply(Error{Code::kNotFound, "no"})) == "02020000006e6f");
}

TEST_CASE("a prologue of anybody else is refused") {
  auto bytes = encode(Prologue{});
  CHECK(decode_prologue(bytes).value() == Prologue{});
  CHECK(decode_prologue(Bytes(bytes).first(20)).code() == Code::kCorrupt);
  CHECK(decode_prologue(as_bytes("GET / HTTP/1.1\r\nHost: a\r")).code() == Code::kCorrupt);
  bytes = encode(Prologue{3, 2, 0});
  CHECK(decode_prologue(bytes).code() == Code::kCorrupt);
}

TEST_CASE("two sides take the newest version that both speak, or say what each speaks") {
  CHECK(agree_version({1, 3, 0}, {2, 5, 0}).value() == 3);
  CHECK(agree_version({2, 5, 0}, {1, 3, 0}).value() == 3);
  const auto none = agree_version({1, 1, 0}, {2, 3, 0});
  CHECK(none.code() == Code::kUnsupported);
  CHECK(none.error().message.find("2 to 3") != std::string::npos);
  CHECK(agree_version({2, 3, 0}, {1, 1, 0}).code() == Code::kUnsupported);
}

TEST_CASE("a frame is refused for its mark, type, flags and either length") {
  const auto encoded = [](Frame frame) {
    ByteVector bytes;
    Writer out(bytes);
    put(out, frame);
    return bytes;
  };
  const Frame good{MessageType::kRead, true, 5, kHeaderBytesMax, kPayloadBytesMax};
  const auto bytes = encoded(good);
  CHECK(decode_frame(bytes).value() == good);
  CHECK(decode_frame(Bytes(bytes).first(23)).code() == Code::kCorrupt);
  for (const std::size_t at : {0u, 5u, 7u}) {
    auto bad = bytes;
    bad[at] ^= std::byte{0xff};
    CHECK(decode_frame(bad).code() == Code::kCorrupt);
  }
  CHECK(decode_frame(encoded({MessageType::kRead, true, 5, kHeaderBytesMax + 1, 0})).code() ==
        Code::kCorrupt);
  CHECK(decode_frame(encoded({MessageType::kRead, true, 5, 0, kPayloadBytesMax + 1})).code() ==
        Code::kCorrupt);
}

TEST_CASE("replies read back: each answer, each error, and garbage is told from an error") {
  const std::vector<std::pair<MessageType, Answer>> answers{
      {MessageType::kOpenSession, SessionOpened{SessionId(9)}},
      {MessageType::kOpenVolume, VolumeOpened{VolumeId(4), "v", GroupId(1), 4096, 65536}},
      {MessageType::kBlockStatus, BlockStatusIs{{{4096, true}, {512, false}}}},
      {MessageType::kWrite, Done{}}};
  bool garbled = true;
  for (const auto& [type, answer] : answers) {
    const auto bytes = encode_reply(answer);
    CHECK(decode_reply(type, bytes, &garbled).value() == answer);
    CHECK_FALSE(garbled);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CHECK(decode_reply(type, Bytes(bytes).first(size), &garbled).code() == Code::kCorrupt);
      CHECK(garbled);
    }
  }
  for (int code = 1; code <= static_cast<int>(Code::kDataLoss); ++code) {
    const auto bytes = encode_reply(Error{static_cast<Code>(code), "why"});
    const auto reply = decode_reply(MessageType::kWrite, bytes, &garbled);
    CHECK(static_cast<int>(reply.code()) == code);
    CHECK(reply.error().message == "why");
    CHECK_FALSE(garbled);
  }
  const std::array unknown{std::byte{200}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}};
  ignore(decode_reply(MessageType::kWrite, unknown, &garbled), "only garbled counts");
  CHECK(garbled);
}

TEST_CASE("counts that the bytes cannot hold are refused before anything is allocated") {
  auto write = encode(Request(Write{TenantId(1), {}, {}, VolumeId(1), 0, {}}));
  for (std::size_t i = write.size() - 4; i < write.size(); ++i) write[i] = std::byte{0xff};
  CHECK(decode_request(MessageType::kWrite, write).code() == Code::kCorrupt);
  auto status = encode_reply(Answer(BlockStatusIs{}));
  for (std::size_t i = 1; i < status.size(); ++i) status[i] = std::byte{0xff};
  bool garbled = false;
  CHECK(decode_reply(MessageType::kBlockStatus, status, &garbled).code() == Code::kCorrupt);
  CHECK(garbled);
  status = encode_reply(Answer(BlockStatusIs{{{4096, true}}}));
  status.back() = std::byte{2};
  CHECK(decode_reply(MessageType::kBlockStatus, status, &garbled).code() == Code::kCorrupt);
  const auto name = encode(Request(OpenVolume{TenantId(1), std::string(300, 'a'), {}}));
  CHECK(decode_request(MessageType::kOpenVolume, name).code() == Code::kCorrupt);
}
