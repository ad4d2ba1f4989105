#include "format/coordination.hpp"

#include <algorithm>

#include "codec/checksum.hpp"

namespace square::format {

namespace {

constexpr std::string_view kMagic{"SQCOORD\0", 8};
constexpr std::uint16_t kVersion = 1;

void put_record(Writer& out, const GroupRecord& record) {
  out.put(record.group);
  out.put(record.revision);
  out.put(record.incarnation);
  out.put(record.epoch);
  out.put(record.primary);
  out.put(record.replica);
  out.put(record.backup);
  out.put(static_cast<std::uint8_t>(record.in_sync));
  out.put(record.pending_loss);
}

GroupRecord get_record(Reader& in) {
  GroupRecord record;
  in.get(record.group);
  in.get(record.revision);
  in.get(record.incarnation);
  in.get(record.epoch);
  in.get(record.primary);
  in.get(record.replica);
  in.get(record.backup);
  const auto in_sync = in.get<std::uint8_t>();
  if (in_sync > 1) in.fail();
  record.in_sync = in_sync == 1;
  in.get(record.pending_loss);
  return record;
}

}  // namespace

ByteVector encode_coordinator_state(const CoordinatorState& state) {
  SQ_CHECK(state.groups.size() <= kCoordinatedGroupsMax);
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes(kMagic));
  out.put(kVersion);
  out.put(state.identity);
  out.put(state.revision);
  out.put(static_cast<std::uint32_t>(state.groups.size()));
  for (const auto& record : state.groups) put_record(out, record);
  out.put(codec::checksum64(bytes));
  return bytes;
}

Result<CoordinatorState> decode_coordinator_state(Bytes bytes) {
  const Error corrupt{Code::kCorrupt, "the coordinator's state is damaged"};
  Reader in(bytes);
  if (!std::ranges::equal(in.get_raw(kMagic.size()), as_bytes(kMagic))) return corrupt;
  const auto version = in.get<std::uint16_t>();
  if (in.ok() && version != kVersion)
    return Error{Code::kUnsupported, "the coordinator's state has version " +
                                         std::to_string(version) + "; this release knows 1"};
  CoordinatorState state;
  in.get(state.identity);
  in.get(state.revision);
  const auto count = in.get<std::uint32_t>();
  if (count > kCoordinatedGroupsMax) in.fail();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    state.groups.push_back(get_record(in));
    const auto& record = state.groups.back();
    if (record.revision == 0 || record.revision > state.revision) in.fail();
    if (i > 0 && state.groups[i - 1].group >= record.group) in.fail();
  }
  const auto checked = bytes.first(in.position());
  const auto sum = in.get<std::uint64_t>();
  if (!in.finished() || sum != codec::checksum64(checked)) return corrupt;
  return state;
}

}  // namespace square::format
