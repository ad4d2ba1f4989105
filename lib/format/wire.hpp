#pragma once
// The data plane on the wire: a prologue from each side, then frames. docs/formats/wire.md.
//
//   frame   = 24 bytes, header (a message), payload (plain bytes, never inside a message)
//   request = the tenant first, then the message's own fields
//   reply   = a Code (0: ok) and its message, or the fields of the answer
//
// Versions: both sides use min(max, max). Within a version fields are only ever appended: a decoder
// takes what it knows and ignores what follows, an absent tail is the default of the older sender.
// Nothing here trusts a length that it has not checked; a bad byte is kCorrupt, never a crash.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.hpp"

namespace square::format::wire {

inline constexpr std::uint16_t kVersionMin = 1, kVersionMax = 1;
inline constexpr std::uint32_t kPayloadBytesMax = 1u << 20;
inline constexpr std::uint32_t kHeaderBytesMax = 64u << 10;
inline constexpr std::uint32_t kNameBytesMax = 256;
inline constexpr std::uint32_t kStatusEntriesMax = 3000;  // of one block status reply

struct Prologue {
  std::uint16_t version_min = kVersionMin, version_max = kVersionMax;
  std::uint64_t features = 0;
  bool operator==(const Prologue&) const = default;
};
inline constexpr std::size_t kPrologueBytes = 24;
ByteVector encode(const Prologue& prologue);
// Errors: kCorrupt (not Square's data plane).
Result<Prologue> decode_prologue(Bytes bytes);
// Errors: kUnsupported, naming both ranges.
Result<std::uint16_t> agree_version(const Prologue& mine, const Prologue& theirs);

enum class MessageType : std::uint16_t {
  kOpenSession = 1,
  kEndSession = 2,
  kOpenVolume = 3,
  kWrite = 4,
  kRead = 5,
  kZero = 6,
  kFlush = 7,
  kBlockStatus = 8,
  kPing = 9,
};
std::string_view message_name(MessageType type);

struct Frame {
  MessageType type = MessageType::kPing;
  bool reply = false;
  std::uint64_t request = 0;  // chosen by the client, unique among its requests in flight
  std::uint32_t header_bytes = 0;
  std::uint32_t payload_bytes = 0;
  bool operator==(const Frame&) const = default;
};
inline constexpr std::size_t kFrameBytes = 24;
void put(Writer& out, const Frame& frame);
// Errors: kCorrupt (wrong magic, unknown type or flag, a length over the limits).
Result<Frame> decode_frame(Bytes bytes);

// ---- requests
struct OpenSession {
  TenantId tenant;
  std::string client;  // for logs
  bool operator==(const OpenSession&) const = default;
};
struct EndSession {
  TenantId tenant;
  SessionId session;
  bool operator==(const EndSession&) const = default;
};
// By name, or by id when the name is empty. A connection may only touch what it has opened.
struct OpenVolume {
  TenantId tenant;
  std::string name;
  VolumeId id;
  bool operator==(const OpenVolume&) const = default;
};
struct Write {
  TenantId tenant;
  SessionId session;
  RequestNumber number;
  VolumeId volume;
  std::uint64_t offset = 0;
  std::vector<std::uint64_t> ingest;  // XXH3-64 of each part of the payload within a 4 KiB block
  bool operator==(const Write&) const = default;
};
struct Read {
  TenantId tenant;
  VolumeId volume;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  std::string snapshot;  // empty: the present
  bool operator==(const Read&) const = default;
};
struct Zero {
  TenantId tenant;
  SessionId session;
  RequestNumber number;
  VolumeId volume;
  std::uint64_t offset = 0, length = 0;
  bool operator==(const Zero&) const = default;
};
// Every acknowledged write is durable already: this only tells that the volume is being served.
struct Flush {
  TenantId tenant;
  VolumeId volume;
  bool operator==(const Flush&) const = default;
};
struct BlockStatus {
  TenantId tenant;
  VolumeId volume;
  std::uint64_t offset = 0, length = 0;
  std::uint32_t count_max = 0;  // at most kStatusEntriesMax
  std::string snapshot;
  bool operator==(const BlockStatus&) const = default;
};
struct Ping {
  TenantId tenant;
  bool operator==(const Ping&) const = default;
};

using Request =
    std::variant<OpenSession, EndSession, OpenVolume, Write, Read, Zero, Flush, BlockStatus, Ping>;
MessageType type_of(const Request& request);
ByteVector encode(const Request& request);
// Errors: kCorrupt.
Result<Request> decode_request(MessageType type, Bytes header);

// ---- replies
struct SessionOpened {
  SessionId session;
  bool operator==(const SessionOpened&) const = default;
};
struct VolumeOpened {
  VolumeId id;
  std::string name;
  GroupId group;
  std::uint64_t size_bytes = 0;
  std::uint32_t extent_bytes = 0;
  bool operator==(const VolumeOpened&) const = default;
};
struct StatusRun {
  std::uint64_t length = 0;
  bool hole = false;
  bool operator==(const StatusRun&) const = default;
};
struct BlockStatusIs {
  std::vector<StatusRun> runs;  // from the offset asked for on, without gaps
  bool operator==(const BlockStatusIs&) const = default;
};
struct Done {
  bool operator==(const Done&) const = default;
};

using Answer = std::variant<Done, SessionOpened, VolumeOpened, BlockStatusIs>;
ByteVector encode_reply(const Result<Answer>& reply);
// What the peer answered: its error is the Result's. A header that cannot be read is kCorrupt with
// `*garbled` set, so that the caller can tell it from a peer that reports corruption.
Result<Answer> decode_reply(MessageType type, Bytes header, bool* garbled);

}  // namespace square::format::wire
