#include "format/operations.hpp"

#include <algorithm>

#include "codec/checksum.hpp"

namespace square::format {

namespace {

constexpr std::string_view kMagic{"SQOPLST\0", 8};
constexpr std::uint16_t kVersion = 2, kVersionWithoutDisks = 1;
constexpr std::size_t kTextBytesMax = 1024;

void put_text(Writer& out, std::string_view text) {
  out.put_sized(as_bytes(text.substr(0, kTextBytesMax)));
}

std::string get_text(Reader& in) {
  const auto bytes = in.get_sized();
  if (bytes.size() > kTextBytesMax) in.fail();
  return std::string(as_text(bytes));
}

void put(Writer& out, const LongOperation& o) {
  put_text(out, o.id);
  put_text(out, o.kind);
  out.put(static_cast<std::uint8_t>(o.state));
  put_text(out, o.message);
  out.put(o.began_wall_ns);
  out.put(o.ended_wall_ns);
  out.put(o.restarts);
  for (const auto value :
       {o.done_bytes, o.total_bytes, o.corruptions_found, o.corruptions_repaired, o.stripes_lost})
    out.put(value);
  out.put(o.cursor);
  out.put(o.slot);
  out.put(o.disk);
}

LongOperation get_operation(Reader& in, std::uint16_t version) {
  LongOperation o;
  o.id = get_text(in);
  o.kind = get_text(in);
  const auto state = in.get<std::uint8_t>();
  if (state < 1 || state > 4) in.fail();
  o.state = static_cast<LongOperationState>(state);
  o.message = get_text(in);
  in.get(o.began_wall_ns);
  in.get(o.ended_wall_ns);
  in.get(o.restarts);
  for (auto* value : {&o.done_bytes, &o.total_bytes, &o.corruptions_found, &o.corruptions_repaired,
                      &o.stripes_lost})
    in.get(*value);
  in.get(o.cursor);
  if (version == kVersionWithoutDisks) return o;
  in.get(o.slot);
  in.get(o.disk);
  return o;
}

}  // namespace

std::string_view operation_state_name(LongOperationState state) {
  switch (state) {
    case LongOperationState::kRunning: return "running";
    case LongOperationState::kDone: return "done";
    case LongOperationState::kFailed: return "failed";
    case LongOperationState::kCancelled: return "cancelled";
  }
  return "unknown";
}

ByteVector encode_operations(const std::vector<LongOperation>& operations) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes(kMagic));
  out.put(kVersion);
  const auto count = std::min(operations.size(), kOperationsMax);
  out.put(static_cast<std::uint32_t>(count));
  for (std::size_t i = 0; i < count; ++i) put(out, operations[i]);
  out.put(codec::checksum64(bytes));
  return bytes;
}

Result<std::vector<LongOperation>> decode_operations(Bytes bytes) {
  const Error corrupt{Code::kCorrupt, "the list of operations is damaged"};
  Reader in(bytes);
  if (!std::ranges::equal(in.get_raw(kMagic.size()), as_bytes(kMagic))) return corrupt;
  const auto version = in.get<std::uint16_t>();
  if (in.ok() && version != kVersion && version != kVersionWithoutDisks)
    return Error{Code::kUnsupported, "the list of operations has version " +
                                         std::to_string(version) + "; this release knows 1 and 2"};
  const auto count = in.get<std::uint32_t>();
  if (count > kOperationsMax) in.fail();
  std::vector<LongOperation> operations;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i)
    operations.push_back(get_operation(in, version));
  const auto checked = bytes.first(in.position());
  const auto sum = in.get<std::uint64_t>();
  if (!in.finished() || sum != codec::checksum64(checked)) return corrupt;
  return operations;
}

}  // namespace square::format
