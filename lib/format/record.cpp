#include "format/record.hpp"

#include <algorithm>
#include <functional>

#include "codec/checksum.hpp"

namespace square::format {
namespace {

enum class Kind : std::uint8_t {
  kOperation = 1,
  kDirect = 2,
  kPlacement = 3,
  kMove = 4,
  kEmpty = 5,
};

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeadBytes = 12;  // kind, version, flags, encoded bytes, payload bytes
constexpr std::size_t kKeyBytesMax = 512;
constexpr std::size_t kValueBytesMax = 64u << 10;

// The least that one element takes: a count is checked against the bytes that are left before
// anything is allocated by it.
constexpr std::size_t kPlaceBytes = 22;
constexpr std::size_t kExtentIdBytes = 14;
constexpr std::size_t kExtentRefBytes = kExtentIdBytes + 32 + kPlaceBytes;
constexpr std::size_t kWrittenExtentBytes = 8 + kExtentRefBytes;
constexpr std::size_t kMovedExtentBytes = kExtentRefBytes + kPlaceBytes + 20;
constexpr std::size_t kOperationBytesMin = 81;
constexpr std::size_t kStripeBytesMin = 34;

bool block_aligned(std::uint64_t value) { return value % kBlockBytes == 0; }

// ---- what is wrong with a value, or nothing: checked before encoding (an invariant) and after
// decoding (corrupt bytes)

bool body_fits(OperationType type, const Operation& operation) {
  const auto holds = [&]<class Body>() { return std::holds_alternative<Body>(operation.body); };
  switch (type) {
    case OperationType::kWrite:
    case OperationType::kRewrite: return holds.template operator()<WriteBody>();
    case OperationType::kHole: return holds.template operator()<HoleBody>();
    case OperationType::kPutRecord:
    case OperationType::kDeleteRecord: return holds.template operator()<RecordBody>();
    case OperationType::kDropSnapshot: return holds.template operator()<DropBody>();
    case OperationType::kPurgeVolume: return holds.template operator()<PurgeBody>();
    case OperationType::kTermMark: return holds.template operator()<TermBody>();
    case OperationType::kSessionEnd: return holds.template operator()<SessionEndBody>();
    case OperationType::kSnapshotMark:
    case OperationType::kVoid: return holds.template operator()<EmptyBody>();
  }
  return false;
}

std::string_view defect(const WriteBody& body, OperationType type) {
  std::uint64_t end = 0, content = 0;
  for (const auto& [offset, extent] : body.extents) {
    if (!block_aligned(offset) || extent.plain_bytes == 0 || !block_aligned(extent.plain_bytes))
      return "extent is not whole blocks";
    if (offset < end) return "extents overlap or do not ascend";
    if (offset > UINT64_MAX - extent.plain_bytes) return "extent ends beyond the last address";
    if (extent.stored_bytes == 0) return "extent has no stored bytes";
    end = offset + extent.plain_bytes;
    content += extent.plain_bytes;
  }
  if (content > kOperationBytesMax) return "more content than one operation may have";
  if (body.expected.size() != (type == OperationType::kRewrite ? body.extents.size() : 0))
    return "expected extents do not match the type";
  return {};
}

std::string_view defect(const HoleBody& body) {
  if (!block_aligned(body.offset) || !block_aligned(body.length)) return "hole is not whole blocks";
  if (body.length == 0 || body.offset > UINT64_MAX - body.length) return "hole is no range";
  return {};
}

std::string_view defect(const RecordBody& body, OperationType type) {
  if (body.key.size() > kKeyBytesMax) return "key is too long";
  if (body.value.size() > kValueBytesMax) return "value is too long";
  if (type == OperationType::kDeleteRecord && !body.value.empty()) return "deletion has a value";
  return {};
}

std::string_view defect(const Operation& operation) {
  if (!body_fits(operation.type, operation)) return "body is not the type's";
  if (const auto* body = operation.writes()) return defect(*body, operation.type);
  if (const auto* body = std::get_if<HoleBody>(&operation.body)) return defect(*body);
  if (const auto* body = std::get_if<RecordBody>(&operation.body))
    return defect(*body, operation.type);
  return {};
}

std::string_view defect(const OperationRecord& record) { return defect(record.operation); }

std::string_view defect(const DirectRecord& record) {
  if (const auto what = defect(record.operation); !what.empty()) return what;
  return record.operation.placed() ? "" : "direct operation without a place";
}

std::string_view defect(const PlacementRecord& record) {
  if (record.operations.empty()) return "placement of no operations";
  auto next = record.operations.front().sequence;
  for (const auto& operation : record.operations) {
    if (const auto what = defect(operation); !what.empty()) return what;
    if (operation.group != record.group) return "operation of another group";
    if (operation.sequence != next) return "sequences have a gap";
    if (!operation.placed()) return "operation without a place";
    next = next.next();
  }
  return {};
}

std::string_view defect(const MoveRecord& record) {
  for (const auto& moved : record.extents) {
    if (!moved.from.place.placed() || !moved.to.placed()) return "move without a place";
    if (!block_aligned(moved.offset)) return "moved range is not whole blocks";
  }
  return {};
}

std::string_view defect(const EmptyRecord&) { return {}; }

// ---- operations

void put_body(Writer& out, const EmptyBody&) { static_cast<void>(out); }
void put_body(Writer& out, const WriteBody& body) {
  out.put(body.volume);
  out.put(static_cast<std::uint32_t>(body.extents.size()));
  for (const auto& [offset, extent] : body.extents) {
    out.put(offset);
    put(out, extent);
  }
  for (const auto& id : body.expected) put(out, id);
}
void put_body(Writer& out, const HoleBody& body) {
  out.put(body.volume);
  out.put(body.offset);
  out.put(body.length);
}
void put_body(Writer& out, const RecordBody& body) {
  out.put_sized(as_bytes(body.key));
  out.put_sized(body.value);
}
void put_body(Writer& out, const DropBody& body) { put(out, body.snapshot); }
void put_body(Writer& out, const PurgeBody& body) { out.put(body.volume); }
void put_body(Writer& out, const TermBody& body) {
  out.put(body.old_epoch);
  out.put(body.last);
  put(out, body.last_chain);
}
void put_body(Writer& out, const SessionEndBody& body) { out.put(body.session); }

void get_body(Reader& in, WriteBody& body, bool rewrite) {
  in.get(body.volume);
  const auto count = in.get<std::uint32_t>();
  if (count > in.left() / (kWrittenExtentBytes + (rewrite ? kExtentIdBytes : 0))) return in.fail();
  body.extents.resize(count);
  for (auto& [offset, extent] : body.extents) {
    in.get(offset);
    get(in, extent);
  }
  if (rewrite) body.expected.resize(count);
  for (auto& id : body.expected) get(in, id);
}
void get_body(Reader& in, HoleBody& body) {
  in.get(body.volume);
  in.get(body.offset);
  in.get(body.length);
}
void get_body(Reader& in, RecordBody& body) {
  body.key = as_text(in.get_sized());
  const auto value = in.get_sized();
  body.value.assign(value.begin(), value.end());
}
void get_body(Reader& in, TermBody& body) {
  in.get(body.old_epoch);
  in.get(body.last);
  get(in, body.last_chain);
}

void put_operation(Writer& out, const Operation& operation) {
  out.put(static_cast<std::uint8_t>(operation.type));
  out.put(operation.group);
  out.put(operation.incarnation);
  out.put(operation.epoch);
  out.put(operation.sequence);
  out.put(operation.commit);
  out.put(operation.session);
  out.put(operation.request);
  out.put(operation.wall_ns);
  put(out, operation.chain);
  std::visit([&](const auto& body) { put_body(out, body); }, operation.body);
}

// False for a type that this version does not know: the bytes after it cannot be told.
bool get_operation(Reader& in, Operation& operation) {
  operation.type = static_cast<OperationType>(in.get<std::uint8_t>());
  in.get(operation.group);
  in.get(operation.incarnation);
  in.get(operation.epoch);
  in.get(operation.sequence);
  in.get(operation.commit);
  in.get(operation.session);
  in.get(operation.request);
  in.get(operation.wall_ns);
  get(in, operation.chain);
  if (!in.ok()) return true;
  auto& body = operation.body;
  switch (operation.type) {
    case OperationType::kWrite: get_body(in, body.emplace<WriteBody>(), false); return true;
    case OperationType::kRewrite: get_body(in, body.emplace<WriteBody>(), true); return true;
    case OperationType::kHole: get_body(in, body.emplace<HoleBody>()); return true;
    case OperationType::kPutRecord:
    case OperationType::kDeleteRecord: get_body(in, body.emplace<RecordBody>()); return true;
    case OperationType::kDropSnapshot: get(in, body.emplace<DropBody>().snapshot); return true;
    case OperationType::kPurgeVolume: in.get(body.emplace<PurgeBody>().volume); return true;
    case OperationType::kTermMark: get_body(in, body.emplace<TermBody>()); return true;
    case OperationType::kSessionEnd: in.get(body.emplace<SessionEndBody>().session); return true;
    case OperationType::kSnapshotMark:
    case OperationType::kVoid: return true;
  }
  return false;
}

// ---- records; a decoder is false for an operation type that is not known here

template <class T>
void put_list(Writer& out, const std::vector<T>& list, auto&& put_one) {
  out.put(static_cast<std::uint32_t>(list.size()));
  for (const auto& one : list) put_one(one);
}

// Sizes `list` by the count that comes next, if so many elements of `bytes_min` can still follow.
template <class T>
void get_count(Reader& in, std::vector<T>& list, std::size_t bytes_min) {
  const auto count = in.get<std::uint32_t>();
  if (count > in.left() / bytes_min) return in.fail();
  list.resize(count);
}

void put_stripes(Writer& out, const std::vector<StripeDescriptor>& stripes) {
  put_list(out, stripes, [&](const auto& stripe) { put(out, stripe); });
}
void get_stripes(Reader& in, std::vector<StripeDescriptor>& stripes) {
  get_count(in, stripes, kStripeBytesMin);
  for (auto& stripe : stripes) {
    get(in, stripe);
    if (!in.ok()) return;
  }
}

Kind put_record(Writer& out, const OperationRecord& record) {
  put_operation(out, record.operation);
  return Kind::kOperation;
}
Kind put_record(Writer& out, const DirectRecord& record) {
  put_operation(out, record.operation);
  put_stripes(out, record.stripes);
  return Kind::kDirect;
}
Kind put_record(Writer& out, const PlacementRecord& record) {
  out.put(record.group);
  put_list(out, record.operations, [&](const auto& operation) { put_operation(out, operation); });
  put_stripes(out, record.stripes);
  return Kind::kPlacement;
}
Kind put_record(Writer& out, const MoveRecord& record) {
  put_list(out, record.extents, [&](const auto& moved) {
    put(out, moved.from);
    put(out, moved.to);
    out.put(moved.group);
    out.put(moved.volume);
    out.put(moved.offset);
  });
  put_stripes(out, record.stripes);
  return Kind::kMove;
}
Kind put_record(Writer&, const EmptyRecord&) { return Kind::kEmpty; }

bool get_record(Reader& in, OperationRecord& record) { return get_operation(in, record.operation); }
bool get_record(Reader& in, DirectRecord& record) {
  if (!get_operation(in, record.operation)) return false;
  get_stripes(in, record.stripes);
  return true;
}
bool get_record(Reader& in, PlacementRecord& record) {
  in.get(record.group);
  get_count(in, record.operations, kOperationBytesMin);
  for (auto& operation : record.operations) {
    if (!get_operation(in, operation)) return false;
    if (!in.ok()) return true;
  }
  get_stripes(in, record.stripes);
  return true;
}
bool get_record(Reader& in, MoveRecord& record) {
  get_count(in, record.extents, kMovedExtentBytes);
  for (auto& moved : record.extents) {
    get(in, moved.from);
    get(in, moved.to);
    in.get(moved.group);
    in.get(moved.volume);
    in.get(moved.offset);
  }
  get_stripes(in, record.stripes);
  return true;
}
bool get_record(Reader&, EmptyRecord&) { return true; }

// ---- payload: the stored bytes of the extents that have no place, in order

std::vector<std::uint32_t> payload_sizes(const LaneRecord& record) {
  std::vector<std::uint32_t> sizes;
  const auto* carrier = std::get_if<OperationRecord>(&record);
  if (carrier == nullptr || carrier->operation.writes() == nullptr) return sizes;
  for (const auto& [offset, extent] : carrier->operation.writes()->extents)
    if (!extent.place.placed()) sizes.push_back(extent.stored_bytes);
  return sizes;
}

std::optional<LaneRecord> empty_record(Kind kind) {
  switch (kind) {
    case Kind::kOperation: return OperationRecord{};
    case Kind::kDirect: return DirectRecord{};
    case Kind::kPlacement: return PlacementRecord{};
    case Kind::kMove: return MoveRecord{};
    case Kind::kEmpty: return EmptyRecord{};
  }
  return std::nullopt;
}

Error corrupt(std::string_view what) { return {Code::kCorrupt, "record: " + std::string(what)}; }
Error unsupported(std::string_view what) {
  return {Code::kUnsupported, "record: " + std::string(what)};
}

void put_logical(Writer& out, const WriteBody& body) {
  out.put(body.volume);
  out.put(static_cast<std::uint32_t>(body.extents.size()));
  for (const auto& [offset, extent] : body.extents) {
    out.put(offset);
    put(out, extent.id);
    out.put(extent.plain_bytes);
    out.put(extent.stored_bytes);
    out.put(extent.checksum);
    put(out, extent.digest);
  }
  for (const auto& id : body.expected) put(out, id);
}

}  // namespace

bool Operation::placed() const {
  const auto* body = writes();
  return body == nullptr || std::ranges::all_of(body->extents, [](const WrittenExtent& written) {
           return written.extent.place.placed();
         });
}

Hash128 chain_hash(const Hash128& before, const Operation& operation) {
  ByteVector bytes;
  Writer out(bytes);
  put(out, before);
  out.put(static_cast<std::uint8_t>(operation.type));
  out.put(operation.group);
  out.put(operation.incarnation);
  out.put(operation.epoch);
  out.put(operation.sequence);
  out.put(operation.session);
  out.put(operation.request);
  out.put(operation.wall_ns);
  if (const auto* body = operation.writes()) {
    put_logical(out, *body);
  } else {
    std::visit([&](const auto& other) { put_body(out, other); }, operation.body);
  }
  return codec::checksum128(bytes);
}

BufferChain encode_record(const LaneRecord& record) {
  const auto what = std::visit([](const auto& one) { return defect(one); }, record);
  SQ_CHECK(what.empty(), what);

  ByteVector bytes;
  Writer out(bytes);
  out.put(std::uint8_t{0});  // kind: known below
  out.put(kVersion);
  out.put(std::uint16_t{0});
  out.put(std::uint32_t{0});
  out.put(std::uint32_t{0});
  const auto kind = std::visit([&](const auto& one) { return put_record(out, one); }, record);
  out.patch(0, static_cast<std::uint8_t>(kind));
  out.patch(4, static_cast<std::uint32_t>(out.size()));

  BufferChain chain(1);
  const auto sizes = payload_sizes(record);
  if (const auto* carrier = std::get_if<OperationRecord>(&record)) {
    SQ_CHECK(carrier->payload.size() == sizes.size(), "one payload for each extent without place");
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      SQ_CHECK(carrier->payload[i].size() == sizes[i], "payload is not the extent's stored bytes");
      chain.push_back(carrier->payload[i]);
    }
  }
  out.patch(8, static_cast<std::uint32_t>(total_size(chain)));
  chain.front() = Buffer::copy_of(bytes);
  return chain;
}

Result<LaneRecord> decode_record(const Buffer& bytes) {
  Reader head(bytes.bytes());
  const auto kind = static_cast<Kind>(head.get<std::uint8_t>());
  const auto version = head.get<std::uint8_t>();
  const auto flags = head.get<std::uint16_t>();
  const auto encoded_bytes = head.get<std::uint32_t>();
  const auto payload_bytes = head.get<std::uint32_t>();
  if (!head.ok()) return corrupt("shorter than its head");
  if (version != kVersion) return unsupported("version " + std::to_string(version));
  auto record = empty_record(kind);
  if (!record) return unsupported("kind " + std::to_string(static_cast<unsigned>(kind)));
  if (flags != 0) return unsupported("flags");
  if (encoded_bytes < kHeadBytes || encoded_bytes > bytes.size() ||
      payload_bytes != bytes.size() - encoded_bytes)
    return corrupt("lengths do not add up");

  Reader in(bytes.bytes().subspan(kHeadBytes, encoded_bytes - kHeadBytes));
  if (!std::visit([&](auto& one) { return get_record(in, one); }, *record))
    return unsupported("operation type");
  if (!in.finished()) return corrupt("body does not decode");
  if (const auto what = std::visit([](const auto& one) { return defect(one); }, *record);
      !what.empty())
    return corrupt(what);

  std::size_t at = encoded_bytes;
  for (const auto size : payload_sizes(*record)) {
    if (size > bytes.size() - at) return corrupt("payload is cut short");
    std::get<OperationRecord>(*record).payload.push_back(bytes.slice(at, size));
    at += size;
  }
  if (at != bytes.size()) return corrupt("payload is too long");
  return std::move(*record);
}

}  // namespace square::format
