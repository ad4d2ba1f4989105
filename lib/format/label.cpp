#include "format/label.hpp"

#include <algorithm>

#include "codec/checksum.hpp"

namespace square::format {
namespace {

constexpr std::string_view kMagic("SQLABEL\0", 8);
constexpr std::size_t kChecksumAt = kLabelBytes - 8;

void put(Writer& out, const std::optional<CheckpointRef>& ref) {
  out.put(static_cast<std::uint8_t>(ref ? ref->stripes.size() : 0));
  if (!ref) return;
  SQ_CHECK(!ref->stripes.empty() && ref->stripes.size() <= kManifestStripesMax);
  put(out, ref->id);
  out.put(ref->manifest_bytes);
  out.put(ref->manifest_checksum);
  for (const auto& stripe : ref->stripes) put(out, stripe);
}

void get(Reader& in, std::optional<CheckpointRef>& ref) {
  const auto stripes = in.get<std::uint8_t>();
  if (stripes == 0) return;
  if (stripes > kManifestStripesMax) return in.fail();
  ref.emplace();
  get(in, ref->id);
  in.get(ref->manifest_bytes);
  in.get(ref->manifest_checksum);
  ref->stripes.resize(stripes);
  for (auto& stripe : ref->stripes) {
    get(in, stripe);
    if (!stripe.extents.empty()) return in.fail();
  }
}

void put_body(Writer& out, const Label& label) {
  out.put(label.sequence);
  out.put(label.cell);
  out.put(label.node);
  out.put(label.pool);
  out.put(label.disk);
  out.put(static_cast<std::uint8_t>(label.role));
  out.put(label.slot);
  out.put(label.k);
  out.put(label.m);
  out.put(label.chunk_bytes);
  out.put(label.chunks);
  out.put(label.journal_bytes);
  out.put(label.pool_generation);
  out.put(label.epoch);
  SQ_CHECK(label.slots.size() == static_cast<std::size_t>(label.k) + label.m);
  for (const auto& slot : label.slots) {
    out.put(slot.disk);
    out.put(static_cast<std::uint8_t>(slot.state));
  }
  put(out, label.newest);
  put(out, label.previous);
}

bool get_slots(Reader& in, Label& label) {
  const auto strips = static_cast<std::size_t>(label.k) + label.m;
  if (label.k == 0 || strips > kStripsMax) return false;
  label.slots.resize(strips);
  for (auto& slot : label.slots) {
    in.get(slot.disk);
    const auto state = in.get<std::uint8_t>();
    if (state < 1 || state > 3) return false;
    slot.state = static_cast<SlotState>(state);
  }
  return label.role == DiskRole::kSpare || label.slot.value < strips;
}

void get_body(Reader& in, Label& label) {
  in.get(label.sequence);
  in.get(label.cell);
  in.get(label.node);
  in.get(label.pool);
  in.get(label.disk);
  const auto role = in.get<std::uint8_t>();
  if (role != 1 && role != 2) return in.fail();
  label.role = static_cast<DiskRole>(role);
  in.get(label.slot);
  in.get(label.k);
  in.get(label.m);
  in.get(label.chunk_bytes);
  in.get(label.chunks);
  in.get(label.journal_bytes);
  in.get(label.pool_generation);
  in.get(label.epoch);
  if (!get_slots(in, label)) return in.fail();
  get(in, label.newest);
  get(in, label.previous);
}

}  // namespace

ByteVector encode_label(const Label& label) {
  ByteVector block;
  block.reserve(kLabelBytes);
  Writer out(block);
  out.put_raw(as_bytes(kMagic));
  out.put(kLabelVersion);
  out.put(label.incompat_features);
  out.put(label.compat_features);
  put_body(out, label);
  SQ_CHECK(block.size() <= kChecksumAt, "label too large");
  block.resize(kLabelBytes);
  out.patch(kChecksumAt, codec::checksum64(Bytes(block).first(kChecksumAt)));
  return block;
}

Result<Label> decode_label(Bytes block) {
  if (block.size() != kLabelBytes || as_text(block.first(kMagic.size())) != kMagic)
    return Error{Code::kNotFound, "no label"};
  Reader tail(block.subspan(kChecksumAt));
  if (tail.get<std::uint64_t>() != codec::checksum64(block.first(kChecksumAt)))
    return Error{Code::kCorrupt, "label: checksum differs"};
  Reader in(block.subspan(kMagic.size(), kChecksumAt - kMagic.size()));
  const auto version = in.get<std::uint16_t>();
  if (version != kLabelVersion)
    return Error{Code::kUnsupported, "label format " + std::to_string(version) +
                                         ", this program knows " + std::to_string(kLabelVersion) +
                                         ": run a newer version"};
  Label label;
  in.get(label.incompat_features);
  in.get(label.compat_features);
  if (label.incompat_features != 0)
    return Error{Code::kUnsupported, "label has unknown features " +
                                         std::to_string(label.incompat_features) +
                                         ": run a newer version"};
  get_body(in, label);
  const auto rest = in.get_raw(in.ok() ? in.left() : 0);
  const auto padded = std::ranges::all_of(rest, [](std::byte b) { return b == std::byte{0}; });
  if (!in.ok() || !padded) return Error{Code::kCorrupt, "label: fields do not fit together"};
  return label;
}

}  // namespace square::format
