// What changed between two snapshots: the ranges of the histories between them, each with its
// content at the later one.

#include <algorithm>

#include "base/planted.hpp"
#include "index/index_impl.hpp"

namespace square::index {
namespace {

// A changed range may be a hole over a whole volume: its content is looked up in parts.
constexpr std::uint64_t kPartBytes = 64u << 20;

struct Spot {
  VolumeId volume;
  std::uint64_t from = 0, to = 0;
};

// The ranges of one history, or of the present, over all volumes.
class Source {
 public:
  Source(Kv& kv, Family family, std::string prefix)
      : iterator_(kv.iterate(family)), prefix_(std::move(prefix)) {}

  // The first range with anything at or behind the cursor, cut there; nothing at the end.
  Result<std::optional<Spot>> at(Index::Cursor cursor) {
    if (!started_ ||
        (spot_ && std::pair(spot_->volume, spot_->to) <= std::pair(cursor.volume, cursor.offset)))
      SQ_TRY(seek(cursor));
    if (!spot_) return std::optional<Spot>();
    auto spot = *spot_;
    if (spot.volume == cursor.volume) spot.from = std::max(spot.from, cursor.offset);
    return std::optional(spot);
  }

 private:
  Result<> seek(Index::Cursor cursor) {
    started_ = true;
    spot_.reset();
    const auto key = format::range_key(prefix_, {cursor.volume, cursor.offset + 1});
    iterator_->seek(as_bytes(key));
    if (!iterator_->valid()) return iterator_->status();
    if (!as_text(iterator_->key()).starts_with(prefix_)) return {};
    SQ_TRY(const auto place, format::parse_range_key(iterator_->key(), prefix_.size()));
    SQ_TRY(const auto value, format::decode_range_value(iterator_->value()));
    spot_ = Spot{place.volume, place.end - value.length, place.end};
    return {};
  }

  std::unique_ptr<KvIterator> iterator_;
  std::string prefix_;
  bool started_ = false;
  std::optional<Spot> spot_;
};

// The first of what the sources have.
Result<std::optional<Spot>> first_of(std::vector<Source>& sources, Index::Cursor cursor) {
  std::optional<Spot> first;
  for (auto& source : sources) {
    SQ_TRY(const auto spot, source.at(cursor));
    if (!spot) continue;
    if (!first || std::pair(spot->volume, spot->from) < std::pair(first->volume, first->from) ||
        (spot->volume == first->volume && spot->from == first->from && spot->to > first->to))
      first = spot;
  }
  return first;
}

// Appends, joining holes that touch.
void add(std::vector<Change>& changes, VolumeId volume, const Piece& piece) {
  if (!changes.empty()) {
    auto& last = changes.back();
    if (last.volume == volume && last.piece.offset + last.piece.length == piece.offset &&
        last.piece.mapping->hole && piece.mapping->hole) {
      last.piece.length += piece.length;
      auto& sequence = last.piece.mapping->hole_sequence;
      sequence = std::max(sequence, piece.mapping->hole_sequence);
      return;
    }
  }
  changes.push_back({volume, piece});
}

}  // namespace

Result<std::vector<Change>> Index::diff(GroupId group, std::optional<Sequence> from,
                                        std::optional<Sequence> to, Cursor cursor,
                                        std::size_t limit) const {
  if (impl_->broken) return *impl_->broken;
  SQ_TRY(const auto target, impl_->position_of(group, to));
  std::size_t begin = target, end = target;
  std::vector<Source> sources;
  const auto* state = impl_->find_group(group);
  if (!state) return std::vector<Change>();
  if (from) {
    SQ_TRY(begin, impl_->position_of(group, from));
    if (begin > target || (begin == target && to))
      return Error{Code::kInvalid, "diff: the target is not later than the base"};
  } else {
    sources.emplace_back(*impl_->kv, Family::kPresent, format::present_prefix(group));
    end = state->snapshots.size();
  }
  for (auto i = begin; i < end; ++i)
    sources.emplace_back(*impl_->kv, Family::kHistory,
                         format::history_prefix(group, state->snapshots[i].id.sequence));
  std::vector<Change> changes;
  Batch view(*impl_->kv);
  while (changes.size() < limit) {
    SQ_TRY(const auto spot, first_of(sources, cursor));
    if (!spot) break;
    const auto part_end = std::min(spot->to, spot->from + kPartBytes);
    SQ_TRY(const auto pieces,
           impl_->content(view, group, spot->volume, target, spot->from, part_end));
    for (const auto& piece : pieces) {
      if (changes.size() == limit) break;
      if (!piece.mapping) continue;  // only where a purge is under way
      if (piece.mapping->hole && SQ_PLANTED("diff_misses_hole")) continue;
      add(changes, spot->volume, piece);
    }
    cursor = {spot->volume, part_end};
  }
  return changes;
}

}  // namespace square::index
