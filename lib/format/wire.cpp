#include "format/wire.hpp"

#include <algorithm>
#include <array>

namespace square::format::wire {

namespace {

constexpr std::array<char, 8> kPrologueMagic{'S', 'Q', 'U', 'A', 'R', 'E', 'D', 'P'};
constexpr std::uint32_t kFrameMagic = 0x52465153;  // "SQFR"
constexpr std::uint16_t kReplyFlag = 1;

Error corrupt(std::string what) { return Error{Code::kCorrupt, std::move(what)}; }

bool known(std::uint16_t type) {
  return type >= static_cast<std::uint16_t>(MessageType::kOpenSession) &&
         type <= static_cast<std::uint16_t>(MessageType::kPing);
}

std::string get_name(Reader& in) {
  const auto bytes = in.get_sized();
  if (bytes.size() > kNameBytesMax) in.fail();
  return in.ok() ? std::string(as_text(bytes)) : std::string();
}

template <class Message>
Message get_start(Reader& in) {
  Message message;
  in.get(message.tenant);
  return message;
}

Request get_open_session(Reader& in) {
  auto m = get_start<OpenSession>(in);
  m.client = get_name(in);
  return m;
}

Request get_end_session(Reader& in) {
  auto m = get_start<EndSession>(in);
  in.get(m.session);
  return m;
}

Request get_open_volume(Reader& in) {
  auto m = get_start<OpenVolume>(in);
  m.name = get_name(in);
  in.get(m.id);
  return m;
}

Request get_write(Reader& in) {
  auto m = get_start<Write>(in);
  in.get(m.session);
  in.get(m.number);
  in.get(m.volume);
  in.get(m.offset);
  const auto count = in.get<std::uint32_t>();
  if (count > kPayloadBytesMax / kBlockBytes + 1 || count * sizeof(std::uint64_t) > in.left()) {
    in.fail();
    return m;
  }
  m.ingest.resize(count);
  for (auto& hash : m.ingest) in.get(hash);
  return m;
}

Request get_read(Reader& in) {
  auto m = get_start<Read>(in);
  in.get(m.volume);
  in.get(m.offset);
  in.get(m.length);
  m.snapshot = get_name(in);
  return m;
}

Request get_zero(Reader& in) {
  auto m = get_start<Zero>(in);
  in.get(m.session);
  in.get(m.number);
  in.get(m.volume);
  in.get(m.offset);
  in.get(m.length);
  return m;
}

Request get_flush(Reader& in) {
  auto m = get_start<Flush>(in);
  in.get(m.volume);
  return m;
}

Request get_block_status(Reader& in) {
  auto m = get_start<BlockStatus>(in);
  in.get(m.volume);
  in.get(m.offset);
  in.get(m.length);
  in.get(m.count_max);
  m.snapshot = get_name(in);
  return m;
}

Request get_request(MessageType type, Reader& in) {
  switch (type) {
    case MessageType::kOpenSession: return get_open_session(in);
    case MessageType::kEndSession: return get_end_session(in);
    case MessageType::kOpenVolume: return get_open_volume(in);
    case MessageType::kWrite: return get_write(in);
    case MessageType::kRead: return get_read(in);
    case MessageType::kZero: return get_zero(in);
    case MessageType::kFlush: return get_flush(in);
    case MessageType::kBlockStatus: return get_block_status(in);
    case MessageType::kPing: return get_start<Ping>(in);
  }
  in.fail();
  return Ping{};
}

void put_fields(Writer& out, const OpenSession& m) { out.put_sized(as_bytes(m.client)); }
void put_fields(Writer& out, const EndSession& m) { out.put(m.session); }
void put_fields(Writer& out, const OpenVolume& m) {
  out.put_sized(as_bytes(m.name));
  out.put(m.id);
}
void put_fields(Writer& out, const Write& m) {
  out.put(m.session);
  out.put(m.number);
  out.put(m.volume);
  out.put(m.offset);
  out.put(static_cast<std::uint32_t>(m.ingest.size()));
  out.put_raw(std::as_bytes(std::span(m.ingest)));
}
void put_fields(Writer& out, const Read& m) {
  out.put(m.volume);
  out.put(m.offset);
  out.put(m.length);
  out.put_sized(as_bytes(m.snapshot));
}
void put_fields(Writer& out, const Zero& m) {
  out.put(m.session);
  out.put(m.number);
  out.put(m.volume);
  out.put(m.offset);
  out.put(m.length);
}
void put_fields(Writer& out, const Flush& m) { out.put(m.volume); }
void put_fields(Writer& out, const BlockStatus& m) {
  out.put(m.volume);
  out.put(m.offset);
  out.put(m.length);
  out.put(m.count_max);
  out.put_sized(as_bytes(m.snapshot));
}
void put_fields(Writer&, const Ping&) {}

void put_answer(Writer&, const Done&) {}
void put_answer(Writer& out, const SessionOpened& a) { out.put(a.session); }
void put_answer(Writer& out, const VolumeOpened& a) {
  out.put(a.id);
  out.put_sized(as_bytes(a.name));
  out.put(a.group);
  out.put(a.size_bytes);
  out.put(a.extent_bytes);
}
void put_answer(Writer& out, const BlockStatusIs& a) {
  out.put(static_cast<std::uint32_t>(a.runs.size()));
  for (const auto& run : a.runs) {
    out.put(run.length);
    out.put(static_cast<std::uint8_t>(run.hole ? 1 : 0));
  }
}

Answer get_volume_opened(Reader& in) {
  VolumeOpened a;
  in.get(a.id);
  a.name = get_name(in);
  in.get(a.group);
  in.get(a.size_bytes);
  in.get(a.extent_bytes);
  return a;
}

Answer get_block_status_is(Reader& in) {
  BlockStatusIs a;
  const auto count = in.get<std::uint32_t>();
  if (count > kStatusEntriesMax || count * std::size_t{9} > in.left()) {
    in.fail();
    return a;
  }
  a.runs.resize(count);
  for (auto& run : a.runs) {
    in.get(run.length);
    const auto kind = in.get<std::uint8_t>();
    if (kind > 1) in.fail();
    run.hole = kind == 1;
  }
  return a;
}

Answer get_answer(MessageType type, Reader& in) {
  switch (type) {
    case MessageType::kOpenSession: {
      SessionOpened a;
      in.get(a.session);
      return a;
    }
    case MessageType::kOpenVolume: return get_volume_opened(in);
    case MessageType::kBlockStatus: return get_block_status_is(in);
    default: return Done{};
  }
}

}  // namespace

ByteVector encode(const Prologue& prologue) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(std::as_bytes(std::span(kPrologueMagic)));
  out.put(prologue.version_min);
  out.put(prologue.version_max);
  out.put(std::uint32_t{0});
  out.put(prologue.features);
  return bytes;
}

Result<Prologue> decode_prologue(Bytes bytes) {
  Reader in(bytes);
  const auto magic = in.get_raw(kPrologueMagic.size());
  Prologue prologue;
  in.get(prologue.version_min);
  in.get(prologue.version_max);
  in.get<std::uint32_t>();  // reserved
  in.get(prologue.features);
  if (!in.finished() || !std::ranges::equal(magic, std::as_bytes(std::span(kPrologueMagic))))
    return corrupt("the peer does not speak Square's data plane");
  if (prologue.version_min > prologue.version_max)
    return corrupt("the peer's prologue has an empty range of versions");
  return prologue;
}

Result<std::uint16_t> agree_version(const Prologue& mine, const Prologue& theirs) {
  const auto version = std::min(mine.version_max, theirs.version_max);
  if (version >= mine.version_min && version >= theirs.version_min) return version;
  const auto range = [](const Prologue& p) {
    return std::to_string(p.version_min) + " to " + std::to_string(p.version_max);
  };
  return Error{Code::kUnsupported, "no common version of the data plane: this side speaks " +
                                       range(mine) + ", the peer " + range(theirs) +
                                       "; update the older one"};
}

std::string_view message_name(MessageType type) {
  switch (type) {
    case MessageType::kOpenSession: return "open session";
    case MessageType::kEndSession: return "end session";
    case MessageType::kOpenVolume: return "open volume";
    case MessageType::kWrite: return "write";
    case MessageType::kRead: return "read";
    case MessageType::kZero: return "zero";
    case MessageType::kFlush: return "flush";
    case MessageType::kBlockStatus: return "block status";
    case MessageType::kPing: return "ping";
  }
  return "unknown message";
}

void put(Writer& out, const Frame& frame) {
  out.put(kFrameMagic);
  out.put(static_cast<std::uint16_t>(frame.type));
  out.put(static_cast<std::uint16_t>(frame.reply ? kReplyFlag : 0));
  out.put(frame.request);
  out.put(frame.header_bytes);
  out.put(frame.payload_bytes);
}

Result<Frame> decode_frame(Bytes bytes) {
  Reader in(bytes);
  const auto magic = in.get<std::uint32_t>();
  const auto type = in.get<std::uint16_t>();
  const auto flags = in.get<std::uint16_t>();
  Frame frame;
  in.get(frame.request);
  in.get(frame.header_bytes);
  in.get(frame.payload_bytes);
  if (!in.finished() || magic != kFrameMagic) return corrupt("a frame without Square's mark");
  if (!known(type)) return corrupt("a frame of unknown type " + std::to_string(type));
  if (flags > kReplyFlag) return corrupt("a frame with unknown flags " + std::to_string(flags));
  if (frame.header_bytes > kHeaderBytesMax)
    return corrupt("a frame header of " + std::to_string(frame.header_bytes) + " bytes");
  if (frame.payload_bytes > kPayloadBytesMax)
    return corrupt("a frame payload of " + std::to_string(frame.payload_bytes) + " bytes");
  frame.type = static_cast<MessageType>(type);
  frame.reply = flags == kReplyFlag;
  return frame;
}

MessageType type_of(const Request& request) {
  return static_cast<MessageType>(request.index() + 1);
}

ByteVector encode(const Request& request) {
  ByteVector bytes;
  Writer out(bytes);
  std::visit(
      [&](const auto& message) {
        out.put(message.tenant);
        put_fields(out, message);
      },
      request);
  return bytes;
}

Result<Request> decode_request(MessageType type, Bytes header) {
  Reader in(header);
  auto request = get_request(type, in);
  if (!in.ok()) return corrupt("a garbled " + std::string(message_name(type)) + " request");
  return request;
}

ByteVector encode_reply(const Result<Answer>& reply) {
  ByteVector bytes;
  Writer out(bytes);
  if (reply.ok()) {
    out.put(std::uint8_t{0});
    std::visit([&](const auto& answer) { put_answer(out, answer); }, reply.value());
    return bytes;
  }
  const auto& text = reply.error().message;
  out.put(static_cast<std::uint8_t>(reply.code()));
  out.put_sized(as_bytes(text).first(std::min<std::size_t>(text.size(), kHeaderBytesMax / 2)));
  return bytes;
}

Result<Answer> decode_reply(MessageType type, Bytes header, bool* garbled) {
  *garbled = false;
  Reader in(header);
  const auto code = in.get<std::uint8_t>();
  if (code == 0) {
    auto answer = get_answer(type, in);
    if (in.ok()) return answer;
  } else if (code <= static_cast<std::uint8_t>(Code::kDataLoss)) {
    const auto text = in.get_sized();
    if (in.ok()) return Error{static_cast<Code>(code), std::string(as_text(text))};
  }
  *garbled = true;
  return corrupt("a garbled reply to " + std::string(message_name(type)));
}

}  // namespace square::format::wire
