#include "codec/extent_header.hpp"

#include "codec/checksum.hpp"

namespace square::codec {
namespace {

constexpr std::uint16_t kVersion = 1;

// What follows the first 13 bytes, in order.
template <class Header, class Visit>
void each_field(Header& header, const Visit& visit) {
  auto& identity = header.identity;
  visit(identity.id.index);
  visit(identity.cell);
  visit(identity.incarnation);
  visit(identity.container);
  visit(identity.object);
  visit(identity.offset);
  visit(identity.plain_bytes);
  visit(identity.id.epoch);
  visit(identity.id.sequence);
  visit(header.seal);
  visit(header.first_counter);
  visit(header.stored_bytes);
}

Error corrupt(std::string_view what) { return {Code::kCorrupt, "extent: " + std::string(what)}; }

}  // namespace

std::uint32_t frame_count(std::uint32_t plain_bytes, std::uint8_t frame_shift) {
  return (plain_bytes + (1u << frame_shift) - 1) >> frame_shift;
}

std::uint32_t header_size(std::uint32_t frames) {
  return static_cast<std::uint32_t>(kExtentFieldsEnd + frames * sizeof(ExtentHeader::tags[0]));
}

std::uint32_t stored_size(std::uint32_t plain_bytes, std::uint8_t frame_shift) {
  return header_size(frame_count(plain_bytes, frame_shift)) +
         plain_bytes / kBlockBytes * kIngestBytes + plain_bytes;
}

void encode_extent_header(const ExtentHeader& header, ByteVector& bytes) {
  Writer out(bytes);
  out.put(std::uint64_t{0});
  out.put(kVersion);
  out.put(static_cast<std::uint8_t>(header.cipher));
  out.put(static_cast<std::uint8_t>(header.compression));
  out.put(header.frame_shift);
  out.put(std::uint8_t{0});
  each_field(header, [&](const auto& field) { out.put(field); });
  SQ_CHECK(bytes.size() == kExtentFieldsEnd);
  for (const auto& tag : header.tags) out.put_raw(tag);
}

Result<ExtentHeader> decode_extent_header(Bytes stored) {
  Reader in(stored);
  ExtentHeader header;
  const auto& identity = header.identity;
  in.get<std::uint64_t>();
  const auto version = in.get<std::uint16_t>();
  if (in.ok() && version != kVersion)
    return Error{Code::kUnsupported, "extent: version " + std::to_string(version)};
  header.cipher = static_cast<Cipher>(in.get<std::uint8_t>());
  header.compression = static_cast<Compression>(in.get<std::uint8_t>());
  in.get(header.frame_shift);
  const auto reserved = in.get<std::uint8_t>();
  each_field(header, [&](auto& field) { in.get(field); });
  if (!in.ok()) return corrupt("shorter than its header");
  if (header.cipher != Cipher::kAes256Gcm || header.compression != Compression::kNone)
    return Error{Code::kUnsupported, "extent: cipher or compression"};
  if (reserved != 0) return corrupt("reserved field is not 0");
  if (header.frame_shift < kFrameShiftMin || header.frame_shift > kFrameShiftMax)
    return corrupt("frame size");
  if (identity.plain_bytes == 0 || identity.plain_bytes > kOperationBytesMax ||
      identity.plain_bytes % kBlockBytes != 0)
    return corrupt("content is not whole blocks, or too many");
  if (header.stored_bytes != stored_size(identity.plain_bytes, header.frame_shift))
    return corrupt("stored length does not follow from the content's");
  const auto frames = frame_count(identity.plain_bytes, header.frame_shift);
  if (header.first_counter > UINT32_MAX - frames) return corrupt("counter runs over");
  header.tags.resize(frames);
  for (auto& tag : header.tags) get(in, tag);
  if (!in.ok()) return corrupt("shorter than its frame tags");
  return header;
}

Result<> verify_stored(Bytes stored, const ExtentRef& expected) {
  if (stored.size() != expected.stored_bytes) return corrupt("stored length differs");
  if (stored.size() < kExtentFieldsEnd) return corrupt("shorter than its header");
  const auto checksum = Reader(stored).get<std::uint64_t>();
  if (checksum != expected.checksum) return corrupt("checksum is not the expected one");
  if (checksum64(stored.subspan(kExtentChecksumEnd)) != checksum)
    return corrupt("bytes do not have their checksum");
  SQ_TRY(verify_header(stored, expected));
  return {};
}

Result<ExtentHeader> verify_header(Bytes stored, const ExtentRef& expected) {
  SQ_TRY(auto header, decode_extent_header(stored));
  if (header.stored_bytes != expected.stored_bytes) return corrupt("stored length differs");
  if (header.identity.id != expected.id) return corrupt("id differs");
  if (header.identity.plain_bytes != expected.plain_bytes) return corrupt("content length differs");
  if (extent_digest(stored, header) != expected.digest) return corrupt("digest differs");
  return header;
}

StoredPart part_of(std::uint32_t plain_bytes, std::uint8_t frame_shift, std::uint32_t offset,
                   std::uint32_t size) {
  SQ_CHECK(size > 0 && offset < plain_bytes && size <= plain_bytes - offset);
  const auto frame_bytes = 1u << frame_shift;
  const auto stored = [](std::uint32_t content) {
    return content + content / kBlockBytes * static_cast<std::uint32_t>(kIngestBytes);
  };
  const auto end = std::min<std::uint64_t>(
      plain_bytes, align_up(std::uint64_t{offset} + size, std::uint64_t{frame_bytes}));
  StoredPart part;
  part.header_bytes = header_size(frame_count(plain_bytes, frame_shift));
  part.frames_begin = part.header_bytes + stored(offset / frame_bytes * frame_bytes);
  part.frames_end = part.header_bytes + stored(static_cast<std::uint32_t>(end));
  return part;
}

Digest extent_digest(Bytes stored, const ExtentHeader& header) {
  const auto end = header_size(static_cast<std::uint32_t>(header.tags.size()));
  return digest128(stored.subspan(kExtentChecksumEnd, end - kExtentChecksumEnd));
}

}  // namespace square::codec
