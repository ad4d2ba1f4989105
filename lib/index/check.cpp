// Every relation between the families and memory, counted anew.

#include <algorithm>

#include "index/index_impl.hpp"

namespace square::index {
namespace {

std::string text_of(const SegmentKey& key) {
  return "segment " + std::to_string(key.segment.value) + ", generation " +
         std::to_string(key.generation.epoch) + "." + std::to_string(key.generation.counter);
}

class Checker {
 public:
  Checker(Index::Impl& impl, std::size_t named_max)
      : impl_(impl), view_(*impl.kv), named_max_(named_max) {}

  // What was found; a relation that does not hold does not keep the next one from being looked at.
  Result<std::vector<std::string>> run() {
    SQ_TRY(count_stripes());
    for (const auto& [id, group] : impl_.groups) {
      check_snapshots(id, group);
      SQ_TRY(check_table(Family::kPresent, format::present_prefix(id), &group));
      for (const auto& snapshot : group.snapshots)
        SQ_TRY(check_table(Family::kHistory, format::history_prefix(id, snapshot.id.sequence),
                           nullptr));
      SQ_TRY(check_pages(id, group));
    }
    SQ_TRY(check_strays());
    SQ_TRY(check_counters());
    if (found_ > named_.size())
      named_.push_back("and " + std::to_string(found_ - named_.size()) + " more differences");
    return std::move(named_);
  }

 private:
  void differ(std::string what) {
    if (++found_ <= named_max_) named_.push_back("index: " + std::move(what));
  }

  Result<> count_stripes() {
    return view_.walk(Family::kStripes, "", "", [&](Bytes key, Bytes value) -> Result<bool> {
      SQ_TRY(const auto stripe, format::decode_stripe(value));
      if (as_text(key) !=
          format::stripe_key(stripe.segment, stripe.generation, stripe.stripe_block))
        differ("a stripe stands under another one's key");
      auto& row = counted_[{stripe.segment, stripe.generation}];
      for (const auto& extent : stripe.extents) row.total_bytes += extent.stored_bytes;
      return true;
    });
  }

  void check_snapshots(GroupId id, const GroupState& group) {
    Sequence last;
    for (const auto& snapshot : group.snapshots) {
      if (snapshot.id.sequence <= last || snapshot.id.sequence > group.applied.sequence)
        differ("group " + std::to_string(id.value) + ": snapshots out of order");
      last = snapshot.id.sequence;
    }
  }

  // `group` for the present: there, mapped is exactly what was written.
  Result<> check_table(Family family, const std::string& prefix, const GroupState* group) {
    VolumeId volume;
    std::uint64_t end = 0, mapped = 0;
    std::map<VolumeId, std::uint64_t> bytes;
    SQ_TRY(view_.walk(family, prefix, prefix, [&](Bytes key, Bytes value) -> Result<bool> {
      SQ_TRY(const auto place, format::parse_range_key(key, prefix.size()));
      SQ_TRY(const auto range, format::decode_range_value(value));
      ++entries_[static_cast<std::size_t>(family)];
      if (place.volume != volume) end = 0;
      volume = place.volume;
      const auto where = "volume " + std::to_string(volume.value) + ", range that ends at " +
                         std::to_string(place.end);
      if (range.length > place.end || place.end - range.length < end)
        differ(where + ": overlaps the one before");
      const auto from = place.end - range.length;
      if (group) check_written(*group, volume, from, place.end, where);
      if (!range.mapping.hole) SQ_TRY(check_extent(volume, from, range, where));
      bytes[volume] += range.length;
      mapped += range.length;
      end = place.end;
      return true;
    }));
    if (!group) return {};
    std::uint64_t written = 0;
    for (const auto& [id, map] : group->written) {
      const auto count = map.count() * format::kWrittenUnitBytes;
      if (count != bytes[id])
        differ("volume " + std::to_string(id.value) + ": " + std::to_string(count) +
               " bytes were written, " + std::to_string(bytes[id]) + " are mapped");
      written += count;
    }
    if (written != mapped) differ("mapped, but not in the written-map");
    return {};
  }

  void check_written(const GroupState& group, VolumeId volume, std::uint64_t from, std::uint64_t to,
                     const std::string& where) {
    constexpr auto kUnit = format::kWrittenUnitBytes;
    const auto map = group.written.find(volume);
    const auto unit_end = (to + kUnit - 1) / kUnit;
    if (map == group.written.end() || map->second.next_clear(from / kUnit, unit_end) != unit_end)
      differ(where + ": mapped, but not in the written-map");
  }

  Result<> check_extent(VolumeId volume, std::uint64_t from, const format::RangeValue& range,
                        const std::string& where) {
    const auto& place = range.mapping.extent.place;
    counted_[{place.segment, place.generation}].live_bytes += range.length;
    const auto key = format::stripe_key(place.segment, place.generation, place.stripe_block);
    if (key != stripe_key_) {
      SQ_TRY(const auto bytes, view_.get(Family::kStripes, key));
      if (!bytes) {
        differ(where + ": its stripe is not known");
        return {};
      }
      SQ_TRY(stripe_, format::decode_stripe(*bytes));
      stripe_key_ = key;
    }
    for (const auto& extent : stripe_.extents) {
      if (extent.id == range.mapping.extent.id && extent.byte_offset == place.byte_offset &&
          extent.volume == volume && extent.plain_bytes == range.mapping.extent.plain_bytes &&
          extent.offset + range.mapping.extent_offset == from)
        return {};
    }
    differ(where + ": its stripe does not list the extent");
    return {};
  }

  Result<> check_pages(GroupId id, const GroupState& group) {
    for (const auto& [volume, map] : group.written) {
      for (const auto& [number, page] : map.pages) {
        const format::MetaKey key{format::MetaKey::Kind::kWritten, id, volume.value, number};
        SQ_TRY(const auto stored, view_.get(Family::kMeta, encode(key)));
        if (!stored || *stored != format::encode(page))
          differ("volume " + std::to_string(volume.value) + ": written-map not as stored");
      }
    }
    return {};
  }

  // Nothing stands outside the groups and the snapshots that are known.
  Result<> check_strays() {
    for (const auto family : {Family::kPresent, Family::kHistory}) {
      std::size_t entries = 0;
      SQ_TRY(view_.walk(family, "", "", [&](Bytes, Bytes) -> Result<bool> {
        ++entries;
        return true;
      }));
      if (entries != entries_[static_cast<std::size_t>(family)])
        differ(family == Family::kPresent ? "ranges of an unknown group"
                                          : "ranges of an unknown snapshot");
    }
    return {};
  }

  Result<> check_counters() {
    for (const auto& [key, row] : impl_.segments) {
      const auto counted = counted_[key];
      if (counted.live_bytes != row.live_bytes || counted.total_bytes != row.total_bytes)
        differ(text_of(key) + ": counted " + std::to_string(counted.live_bytes) + " of " +
               std::to_string(counted.total_bytes) + " bytes live, noted " +
               std::to_string(row.live_bytes) + " of " + std::to_string(row.total_bytes));
      SQ_TRY(const auto stored,
             view_.get(Family::kSegments, format::segment_key(key.segment, key.generation)));
      if (!stored || *stored != format::encode(row))
        differ(text_of(key) + ": counters not as stored");
      if (impl_.dead.contains(key) != (row.live_bytes == 0))
        differ(text_of(key) + ": not listed as what its counter says");
    }
    for (const auto& [key, row] : counted_) {
      if (!impl_.segments.contains(key) && row != format::SegmentRow{})
        differ(text_of(key) + ": in use without counters");
    }
    return {};
  }

  Index::Impl& impl_;
  Batch view_;
  std::map<SegmentKey, format::SegmentRow> counted_;
  std::array<std::size_t, kFamilies> entries_{};
  std::string stripe_key_;
  format::StripeDescriptor stripe_;
  std::size_t named_max_, found_ = 0;
  std::vector<std::string> named_;
};

}  // namespace

Result<std::vector<std::string>> Index::differences(std::size_t named_max) const {
  if (impl_->broken) return *impl_->broken;
  return Checker(*impl_, named_max).run();
}

Result<> Index::check() const {
  SQ_TRY(const auto found, differences(1));
  if (!found.empty()) return Error{Code::kCorrupt, found.front()};
  return {};
}

}  // namespace square::index
