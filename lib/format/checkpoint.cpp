#include "format/checkpoint.hpp"

#include "codec/checksum.hpp"

namespace square::format {
namespace {

constexpr std::string_view kMagic("SQCHKPT\0", 8);
constexpr std::size_t kFileBytesMin = 4 + 4 + 8 + 4;
constexpr std::size_t kFileStripeBytesMin = 34;
constexpr std::size_t kSegmentBytesMin = 4 + 8 + 4 + 2;

Error corrupt(const char* what) {
  return {Code::kCorrupt, std::string("checkpoint manifest: ") + what};
}

void put(Writer& out, const ManifestFile& file) {
  out.put_sized(as_bytes(file.name));
  out.put_sized(as_bytes(file.content_key));
  out.put(file.size_bytes);
  out.put(static_cast<std::uint32_t>(file.stripes.size()));
  for (const auto& piece : file.stripes) {
    put(out, piece.stripe);
    out.put(piece.bytes);
  }
}

void get(Reader& in, ManifestFile& file) {
  file.name = as_text(in.get_sized());
  file.content_key = as_text(in.get_sized());
  in.get(file.size_bytes);
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > in.left() / kFileStripeBytesMin) return in.fail();
  file.stripes.resize(count);
  std::uint64_t total = 0;
  for (auto& piece : file.stripes) {
    get(in, piece.stripe);
    in.get(piece.bytes);
    if (!in.ok()) return;
    const auto room = std::uint64_t{piece.stripe.k} * piece.stripe.strip_blocks * kBlockBytes;
    if (piece.bytes == 0 || piece.bytes > room || !piece.stripe.extents.empty()) return in.fail();
    total += piece.bytes;
  }
  if (total != file.size_bytes) in.fail();
}

void put(Writer& out, const SegmentEntry& entry) {
  out.put(entry.segment);
  put(out, entry.generation);
  out.put(entry.kind);
  out.put(static_cast<std::uint8_t>(entry.summarized ? 1 : 0));
  out.put(entry.k);
  out.put(entry.m);
  for (const auto slot : entry.slots) out.put(slot);
}

void get(Reader& in, SegmentEntry& entry) {
  in.get(entry.segment);
  get(in, entry.generation);
  in.get(entry.kind);
  const auto summarized = in.get<std::uint8_t>();
  entry.summarized = summarized == 1;
  in.get(entry.k);
  in.get(entry.m);
  const auto strips = static_cast<std::size_t>(entry.k) + entry.m;
  if (!in.ok() || entry.k == 0 || strips > kStripsMax || entry.kind > 2 || summarized > 1)
    return in.fail();
  entry.slots.resize(strips);
  for (auto& slot : entry.slots) in.get(slot);
}

template <class T>
void get_list(Reader& in, std::vector<T>& list, std::size_t bytes_min) {
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > in.left() / bytes_min) return in.fail();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) get(in, list.emplace_back());
}

}  // namespace

ByteVector encode_manifest(const CheckpointManifest& manifest) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes(kMagic));
  out.put(kManifestVersion);
  out.put(manifest.pool);
  put(out, manifest.id);
  out.put_sized(manifest.header);
  out.put(static_cast<std::uint32_t>(manifest.files.size()));
  for (const auto& file : manifest.files) put(out, file);
  out.put(static_cast<std::uint32_t>(manifest.segments.size()));
  for (const auto& entry : manifest.segments) put(out, entry);
  out.put(codec::checksum64(bytes));
  return bytes;
}

Result<CheckpointManifest> decode_manifest(Bytes bytes) {
  if (bytes.size() < kMagic.size() + 2 + 8 || as_text(bytes.first(kMagic.size())) != kMagic)
    return corrupt("no magic");
  const auto body = bytes.first(bytes.size() - 8);
  if (Reader(bytes.last(8)).get<std::uint64_t>() != codec::checksum64(body))
    return corrupt("checksum differs");
  Reader in(body.subspan(kMagic.size()));
  const auto version = in.get<std::uint16_t>();
  if (version != kManifestVersion)
    return Error{Code::kUnsupported, "checkpoint format " + std::to_string(version) +
                                         ", this program knows " +
                                         std::to_string(kManifestVersion)};
  CheckpointManifest manifest;
  in.get(manifest.pool);
  get(in, manifest.id);
  const auto header = in.get_sized();
  if (header.size() > kCheckpointHeaderBytesMax) return corrupt("header too long");
  manifest.header.assign(header.begin(), header.end());
  get_list(in, manifest.files, kFileBytesMin);
  get_list(in, manifest.segments, kSegmentBytesMin);
  if (!in.finished()) return corrupt("fields do not fit together");
  return manifest;
}

}  // namespace square::format
