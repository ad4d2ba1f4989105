#include "format/summary.hpp"

#include "codec/checksum.hpp"

namespace square::format {
namespace {

constexpr std::string_view kSummaryMagic("SQSUMRY\0", 8);
constexpr std::string_view kFooterMagic("SQSEGFT\0", 8);
constexpr std::size_t kStripeBytesMin = summary_stripe_bytes(1, 0);

Error corrupt(const char* what) {
  return {Code::kCorrupt, std::string("segment summary: ") + what};
}

Error newer(std::uint16_t version) {
  return {Code::kUnsupported, "segment summary format " + std::to_string(version) +
                                  ", this program knows " + std::to_string(kSummaryVersion)};
}

// What stands between magic and checksum. Errors: kCorrupt.
Result<Bytes> checked(Bytes bytes, std::string_view magic) {
  if (bytes.size() < magic.size() + 8 || as_text(bytes.first(magic.size())) != magic)
    return corrupt("no magic");
  const auto body = bytes.first(bytes.size() - 8);
  if (Reader(bytes.last(8)).get<std::uint64_t>() != codec::checksum64(body))
    return corrupt("checksum differs");
  return body.subspan(magic.size());
}

bool in_order(const SegmentSummary& summary) {
  std::uint64_t next = 0;
  for (const auto& stripe : summary.stripes) {
    if (stripe.segment != summary.segment || stripe.generation != summary.generation) return false;
    if (stripe.stripe_block < next) return false;
    next = std::uint64_t{stripe.stripe_block} + stripe.strip_blocks;
  }
  return true;
}

}  // namespace

ByteVector encode_summary(const SegmentSummary& summary) {
  ByteVector bytes;
  Writer out(bytes);
  out.put_raw(as_bytes(kSummaryMagic));
  out.put(kSummaryVersion);
  out.put(summary.pool);
  out.put(summary.segment);
  put(out, summary.generation);
  out.put(summary.kind);
  out.put(static_cast<std::uint32_t>(summary.stripes.size()));
  for (const auto& stripe : summary.stripes) put(out, stripe);
  out.put(codec::checksum64(bytes));
  return bytes;
}

Result<SegmentSummary> decode_summary(Bytes bytes) {
  SQ_TRY(const auto body, checked(bytes, kSummaryMagic));
  Reader in(body);
  const auto version = in.get<std::uint16_t>();
  if (in.ok() && version != kSummaryVersion) return newer(version);
  SegmentSummary summary;
  in.get(summary.pool);
  in.get(summary.segment);
  get(in, summary.generation);
  in.get(summary.kind);
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > in.left() / kStripeBytesMin) return corrupt("fields do not fit together");
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) get(in, summary.stripes.emplace_back());
  if (!in.finished() || !in_order(summary)) return corrupt("fields do not fit together");
  return summary;
}

ByteVector encode_footer(const SummaryFooter& footer) {
  ByteVector block;
  Writer out(block);
  out.put_raw(as_bytes(kFooterMagic));
  out.put(kSummaryVersion);
  out.put(footer.pool);
  put(out, footer.stripe);
  out.put(footer.bytes);
  out.put(footer.checksum);
  SQ_CHECK(block.size() <= kBlockBytes - 8);
  block.resize(kBlockBytes - 8);
  out.put(codec::checksum64(block));
  return block;
}

Result<SummaryFooter> decode_footer(Bytes block) {
  if (block.size() != kBlockBytes) return corrupt("a footer is one block");
  SQ_TRY(const auto body, checked(block, kFooterMagic));
  Reader in(body);
  const auto version = in.get<std::uint16_t>();
  if (version != kSummaryVersion) return newer(version);
  SummaryFooter footer;
  in.get(footer.pool);
  get(in, footer.stripe);
  in.get(footer.bytes);
  in.get(footer.checksum);
  const auto room = std::uint64_t{footer.stripe.k} * footer.stripe.strip_blocks * kBlockBytes;
  const bool fits = in.ok() && footer.stripe.extents.empty() && footer.bytes <= room &&
                    footer.bytes >= kSummaryBytesMin;
  for (const auto byte : in.get_raw(in.left()))
    if (byte != std::byte{}) return corrupt("something stands behind a footer");
  if (!fits) return corrupt("a footer's fields do not fit together");
  return footer;
}

}  // namespace square::format
