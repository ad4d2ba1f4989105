#pragma once
// What a closed segment says of itself: the stripes that lie in it, as one more stripe in front of
// the last block of each chunk, and in that last block, the same on every member, where that stripe
// lies. Any k members are enough to read it, without the index. docs/formats/segment.md.

#include <vector>

#include "format/types.hpp"

namespace square::format {

inline constexpr std::uint16_t kSummaryVersion = 1;

struct SegmentSummary {
  PoolId pool;
  SegmentId segment;
  Generation generation;
  std::uint8_t kind = 0;                  // pool::StripeClass
  std::vector<StripeDescriptor> stripes;  // ascending by stripe_block, all of this generation
  bool operator==(const SegmentSummary&) const = default;
};

ByteVector encode_summary(const SegmentSummary& summary);
// Errors: kCorrupt; kUnsupported for a newer version.
Result<SegmentSummary> decode_summary(Bytes bytes);

// The encoded size, so that room for it can be kept before it is written: of a summary without
// stripes, and what one stripe adds.
inline constexpr std::size_t kSummaryBytesMin = 8 + 2 + 16 + 4 + 8 + 1 + 4 + 8;
constexpr std::size_t summary_stripe_bytes(std::size_t strips, std::size_t extents) {
  return 24 + strips * 10 + extents * 46;
}

struct SummaryFooter {
  PoolId pool;
  StripeDescriptor stripe;     // the summary's own; without extents
  std::uint32_t bytes = 0;     // of the summary, from the start of the stripe's data
  std::uint64_t checksum = 0;  // XXH3-64 of the summary
  bool operator==(const SummaryFooter&) const = default;
};

// One block.
ByteVector encode_footer(const SummaryFooter& footer);
Result<SummaryFooter> decode_footer(Bytes block);

}  // namespace square::format
