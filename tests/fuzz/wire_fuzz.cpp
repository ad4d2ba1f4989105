// The whole data plane as a stranger could send it: a selector byte, then a prologue, a frame, or
// the header of a request or reply. What decodes must encode to what it was decoded from.

#include <algorithm>

#include "format/wire.hpp"

using namespace square;
using namespace square::format::wire;

namespace {

// Fields that a newer sender appended are dropped, so the encoding is a prefix.
void check_prefix(Bytes whole, const ByteVector& encoded) {
  SQ_CHECK(encoded.size() <= whole.size());
  SQ_CHECK(std::ranges::equal(whole.first(encoded.size()), encoded));
}

void try_reply(MessageType type, Bytes header) {
  bool garbled = false;
  const auto reply = decode_reply(type, header, &garbled);
  if (garbled) return;
  // An error's text is cut when it is encoded again.
  if (reply.ok()) check_prefix(header, encode_reply(reply));
}

void try_frame(Bytes bytes) {
  const auto frame = decode_frame(bytes);
  if (!frame.ok()) return;
  ByteVector again;
  Writer out(again);
  put(out, *frame);
  check_prefix(bytes, again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes rest = std::as_bytes(std::span(data + 1, size - 1));
  const auto kind = data[0];
  if (kind == 0) {
    const auto prologue = decode_prologue(rest);
    if (prologue.ok()) ignore(agree_version(Prologue{}, *prologue), "any answer will do");
  } else if (kind == 1) {
    try_frame(rest);
  } else if (kind < 128) {
    const auto type = static_cast<MessageType>(kind - 1);
    const auto request = decode_request(type, rest);
    if (request.ok()) check_prefix(rest, encode(*request));
  } else {
    try_reply(static_cast<MessageType>(kind - 127), rest);
  }
  return 0;
}
