#include "pool/checkpoint_store.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/probe.hpp"
#include "codec/checksum.hpp"
#include "pool/layout.hpp"

namespace square::pool {
namespace {

Checkpoint checkpoint_of(const format::CheckpointManifest& manifest) {
  Checkpoint checkpoint;
  checkpoint.id = manifest.id;
  checkpoint.header = manifest.header;
  for (const auto& file : manifest.files)
    checkpoint.files.push_back({file.name, file.content_key, file.size_bytes});
  return checkpoint;
}

}  // namespace

CheckpointStore::CheckpointStore(std::shared_ptr<Members> members,
                                 std::shared_ptr<SegmentTable> segments, StripeIo& stripes,
                                 env::Loop& loop, std::vector<format::CheckpointRef> candidates)
    : members_(std::move(members)),
      segments_(std::move(segments)),
      stripes_(stripes),
      candidates_(std::move(candidates)),
      writing_(loop) {
  std::ranges::sort(candidates_, [](const auto& a, const auto& b) {
    return std::tie(a.id, a.manifest_checksum) > std::tie(b.id, b.manifest_checksum);
  });
  candidates_.erase(std::unique(candidates_.begin(), candidates_.end()), candidates_.end());
  if (!candidates_.empty()) members_->newest = candidates_[0];
  if (candidates_.size() > 1) members_->previous = candidates_[1];
}

template <class Visit>
void CheckpointStore::for_each_stripe(const Kept& kept, Visit visit) const {
  for (const auto& stripe : kept.ref.stripes) visit(stripe);
  for (const auto& file : kept.manifest.files)
    for (const auto& piece : file.stripes) visit(piece.stripe);
}

// ---- reading

Async<std::optional<Checkpoint>> CheckpointStore::load_newest() { return load_from(0); }

Async<std::optional<Checkpoint>> CheckpointStore::load_older() {
  if (!newest_) co_return std::optional<Checkpoint>();
  const auto newer = newest_->ref.id;
  while (loaded_candidate_ < candidates_.size() && candidates_[loaded_candidate_].id >= newer)
    ++loaded_candidate_;
  if (loaded_candidate_ == candidates_.size())
    co_return Error{Code::kDataLoss, "there is no older checkpoint"};
  SQ_PROBE("the older checkpoint was loaded");
  co_return co_await load_from(loaded_candidate_);
}

Async<std::optional<Checkpoint>> CheckpointStore::load_from(std::size_t candidate) {
  newest_.reset();
  previous_.reset();
  unreadable_.reset();
  segments_->reset();
  std::string why;
  for (auto i = candidate; i < candidates_.size() && !previous_; ++i) {
    auto kept = co_await read_manifest(candidates_[i]);
    if (!kept.ok()) {
      SQ_PROBE("a checkpoint that a label names could not be read");
      why += "; " + kept.error().message;
      if (!newest_ && !unreadable_) unreadable_ = candidates_[i];
      continue;
    }
    if (!newest_) {
      loaded_candidate_ = i;
      newest_ = std::move(kept).value();
    } else if (kept->ref.id < newest_->ref.id) {
      previous_ = std::move(kept).value();
    }
  }
  if (!newest_) {
    if (candidates_.empty()) co_return std::optional<Checkpoint>();
    co_return Error{Code::kDataLoss, "no checkpoint that the labels name can be read" + why};
  }
  for (const auto& entry : newest_->manifest.segments) SQ_CO_TRY(segments_->note_used(entry));
  SQ_CO_TRY(adopt(*newest_));
  if (previous_) SQ_CO_TRY(adopt(*previous_));
  auto checkpoint = checkpoint_of(newest_->manifest);
  if (unreadable_) checkpoint.passed_over = why;
  co_return checkpoint;
}

Async<CheckpointStore::Kept> CheckpointStore::read_manifest(format::CheckpointRef ref) {
  const auto name =
      "checkpoint " + std::to_string(ref.id.epoch) + "." + std::to_string(ref.id.number);
  const auto piece = (ref.manifest_bytes + ref.stripes.size() - 1) / ref.stripes.size();
  ByteVector bytes;
  for (const auto& stripe : ref.stripes) {
    SQ_CO_TRY(segments_->check_fits(stripe));
    const auto size = std::min<std::size_t>(piece, ref.manifest_bytes - bytes.size());
    const auto room = std::size_t{stripe.k} * stripe.strip_blocks * kBlockBytes;
    if (size == 0 || size > room) co_return Error{Code::kCorrupt, name + ": sizes differ"};
    SQ_CO_TRY(const auto part,
              co_await stripes_.read_verified(stripe, 0, static_cast<std::uint32_t>(size)));
    bytes.insert(bytes.end(), part.data(), part.data() + part.size());
  }
  if (codec::checksum64(bytes) != ref.manifest_checksum)
    co_return Error{Code::kCorrupt, name + ": not the manifest that the label names"};
  auto manifest = format::decode_manifest(bytes);
  if (!manifest.ok()) co_return std::move(manifest).error().context(name);
  if (manifest->id != ref.id || manifest->pool != members_->pool())
    co_return Error{Code::kCorrupt, name + ": the manifest is another's"};
  co_return Kept{std::move(ref), std::move(manifest).value()};
}

Result<> CheckpointStore::adopt(const Kept& kept) {
  Result<> result;
  for_each_stripe(kept, [&](const format::StripeDescriptor& stripe) {
    if (result.ok()) result = segments_->adopt(stripe, StripeClass::kIndex);
  });
  return result;
}

Async<> CheckpointStore::confirm() {
  members_->newest.reset();
  members_->previous.reset();
  if (newest_) members_->newest = newest_->ref;
  if (previous_) members_->previous = previous_->ref;
  // Until there is a newer one, the next start must know of it too.
  if (unreadable_) members_->previous = std::exchange(members_->newest, unreadable_);
  co_return co_await members_->write_labels();
}

const format::ManifestFile* CheckpointStore::find_file(const CheckpointFile& file) const {
  for (const auto* kept : {&newest_, &previous_}) {
    if (!*kept) continue;
    for (const auto& known : (*kept)->manifest.files)
      if (known.content_key == file.content_key && known.size_bytes == file.size_bytes)
        return &known;
  }
  return nullptr;
}

Async<Buffer> CheckpointStore::read_file(CheckpointFile file, std::uint64_t offset,
                                         std::uint32_t size) {
  const auto* known = find_file(file);
  if (known == nullptr) co_return Error{Code::kNotFound, "the checkpoint has no file " + file.name};
  if (offset > known->size_bytes || size > known->size_bytes - offset)
    co_return Error{Code::kInvalid, "past the end of checkpoint file " + file.name};
  const auto pieces = known->stripes;
  auto out = Buffer::allocate(size);
  std::uint64_t start = 0;  // of the piece, in the file
  for (const auto& piece : pieces) {
    const auto from = std::max(offset, start), end = std::min(offset + size, start + piece.bytes);
    if (from < end) {
      auto part =
          co_await stripes_.read_verified(piece.stripe, static_cast<std::uint32_t>(from - start),
                                          static_cast<std::uint32_t>(end - from));
      if (!part.ok()) co_return std::move(part).context("checkpoint file " + file.name);
      std::memcpy(out.data() + (from - offset), part->data(), part->size());
    }
    start += piece.bytes;
  }
  co_return out;
}

std::optional<format::StripeDescriptor> CheckpointStore::find(const StripeKey& key) const {
  for (const auto& stripe : stripes_in(key.segment))
    if (key_of(stripe) == key) return stripe;
  return std::nullopt;
}

std::vector<format::StripeDescriptor> CheckpointStore::stripes_in(SegmentId segment) const {
  std::map<StripeKey, format::StripeDescriptor> found;
  for (const auto* kept : {&newest_, &previous_})
    if (*kept)
      for_each_stripe(**kept, [&](const format::StripeDescriptor& stripe) {
        if (stripe.segment == segment) found.emplace(key_of(stripe), stripe);
      });
  std::vector<format::StripeDescriptor> stripes;
  for (auto& [key, stripe] : found) stripes.push_back(std::move(stripe));
  return stripes;
}

// ---- writing

std::uint32_t CheckpointStore::piece_bytes() const {
  const auto& geometry = members_->geometry();
  const auto live = members_->writable_slots().size();
  const auto k = live > geometry.m ? std::min<std::size_t>(live - geometry.m, geometry.k) : 1;
  return static_cast<std::uint32_t>(k) * strip_blocks_max(geometry) * kBlockBytes;
}

Async<> CheckpointStore::write(Checkpoint checkpoint, Pool::ReadFile read) {
  const auto lock = co_await writing_.lock();
  if (checkpoint.header.size() > format::kCheckpointHeaderBytesMax)
    co_return Error{Code::kInvalid, "a checkpoint's header is at most 64 KiB"};
  if (newest_ && checkpoint.id <= newest_->ref.id)
    co_return Error{Code::kInvalid, "a checkpoint must be newer than the one before it"};
  SQ_CO_TRY(check_members());
  const auto begun = segments_->checkpoint_begins();
  Stripes written;
  auto kept = co_await store_all(std::move(checkpoint), read, begun, written);
  Result<> labelled;
  if (kept.ok()) {
    // Everything that the labels are going to name is flushed on all its disks.
    members_->previous.reset();
    if (newest_) members_->previous = newest_->ref;
    members_->newest = kept->ref;
    unreadable_.reset();
    labelled = co_await members_->write_labels();
  }
  if (kept.ok()) {
    previous_ = std::move(newest_);
    newest_ = std::move(kept).value();
  }
  for (const auto& stripe : written) stripes_.forget(key_of(stripe));
  if (!labelled.ok()) {
    SQ_CO_TRY(check_members());
    co_return labelled;
  }
  // What was written in vain is named by nothing, and the next attempt writes all of it again.
  if (!kept.ok()) free_unnamed();
  if (!kept.ok()) co_return std::move(kept).error().context("write checkpoint");
  free_unnamed();
  segments_->checkpoint_done(begun);
  co_return Result<>();
}

// Labels that name a newer checkpoint would make strangers of the disks that are away.
Result<> CheckpointStore::check_members() const {
  if (members_->whole_count() >= members_->geometry().k) return {};
  return Error{Code::kUnavailable,
               "more than m members are away: no checkpoint is made until they are back"};
}

Async<CheckpointStore::Kept> CheckpointStore::store_all(Checkpoint checkpoint,
                                                        const Pool::ReadFile& read,
                                                        std::uint64_t begun, Stripes& written) {
  Kept kept;
  kept.manifest.pool = members_->pool();
  kept.manifest.id = checkpoint.id;
  kept.manifest.header = std::move(checkpoint.header);
  const auto sparse = mostly_dead();
  const auto m = members_->geometry().m;
  const bool enough = members_->writable_slots().size() > m;
  const auto lies_badly = [&](const format::ManifestFile& file) {
    return std::ranges::any_of(file.stripes, [&](const auto& piece) {
      return std::ranges::find(sparse, piece.stripe.segment) != sparse.end() ||
             (enough && piece.stripe.m < m);
    });
  };
  // Moving files out of sparse segments, and to full parity, is bounded: a checkpoint must not
  // become a rewrite of all.
  std::uint64_t moved = 0;
  const std::uint64_t moved_max =
      std::uint64_t{members_->geometry().k} * members_->geometry().chunk_bytes;
  for (auto& file : checkpoint.files) {
    const auto* known = find_file(file);
    const bool move = known && moved + file.size_bytes <= moved_max && lies_badly(*known);
    if (known && !move) {
      kept.manifest.files.push_back(*known);
      kept.manifest.files.back().name = file.name;
      continue;
    }
    if (move) {
      SQ_PROBE("a checkpoint file was moved");
      moved += file.size_bytes;
    }
    SQ_CO_TRY(auto stored, co_await store_file(std::move(file), read, written));
    kept.manifest.files.push_back(std::move(stored));
  }
  kept.manifest.segments = segments_->entries(begun);
  SQ_CO_TRY(kept.ref, co_await store_manifest(kept.manifest, written));
  co_return std::move(kept);
}

Async<format::ManifestFile> CheckpointStore::store_file(CheckpointFile file,
                                                        const Pool::ReadFile& read,
                                                        Stripes& written) {
  format::ManifestFile stored;
  stored.name = file.name;
  stored.content_key = file.content_key;
  stored.size_bytes = file.size_bytes;
  for (std::uint64_t at = 0; at < file.size_bytes;) {
    const auto size =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(piece_bytes(), file.size_bytes - at));
    SQ_CO_TRY(auto bytes, co_await read(file, at, size));
    if (bytes.size() != size)
      co_return Error{Code::kCorrupt, "checkpoint file " + file.name + ": short read"};
    SQ_CO_TRY(auto stripe, co_await store_stripe(std::move(bytes), written));
    stored.stripes.push_back({std::move(stripe), size});
    at += size;
  }
  co_return std::move(stored);
}

Async<format::CheckpointRef> CheckpointStore::store_manifest(format::CheckpointManifest manifest,
                                                             Stripes& written) {
  const auto bytes = Buffer::copy_of(format::encode_manifest(manifest));
  format::CheckpointRef ref;
  ref.id = manifest.id;
  ref.manifest_bytes = static_cast<std::uint32_t>(bytes.size());
  ref.manifest_checksum = codec::checksum64(bytes.bytes());
  const auto pieces = std::min<std::size_t>(format::kManifestStripesMax,
                                            (bytes.size() + piece_bytes() - 1) / piece_bytes());
  const auto piece = (bytes.size() + pieces - 1) / pieces;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    auto part = bytes.slice(at, std::min(piece, bytes.size() - at));
    SQ_CO_TRY(auto stripe, co_await store_stripe(std::move(part), written));
    ref.stripes.push_back(std::move(stripe));
  }
  co_return std::move(ref);
}

// A member that dies or is late meanwhile costs another try with the members that are left. Another
// may be back at the same moment, so their number says nothing.
Async<format::StripeDescriptor> CheckpointStore::store_stripe(Buffer bytes, Stripes& written) {
  const int attempts_max = members_->geometry().k + members_->geometry().m;
  for (int attempt = 1;; ++attempt) {
    std::vector<StripeItem> items(1);
    items[0].bytes.push_back(bytes);
    auto stripe = co_await stripes_.write(StripeClass::kIndex, std::move(items));
    if (stripe.ok()) {
      written.push_back(stripe->stripe);
      co_return std::move(stripe->stripe);
    }
    if (stripe.code() != Code::kIo || attempt == attempts_max) co_return std::move(stripe).error();
    SQ_PROBE("a checkpoint stripe was written again without a lost member");
  }
}

// Closed segments of checkpoint files that are less than a quarter in use; only when there are
// several, because moving into another segment gains nothing else.
std::vector<SegmentId> CheckpointStore::mostly_dead() const {
  if (!newest_) return {};
  std::map<SegmentId, std::uint64_t> live_blocks;
  for (const auto& file : newest_->manifest.files)
    for (const auto& piece : file.stripes)
      live_blocks[piece.stripe.segment] += piece.stripe.strip_blocks;
  std::vector<SegmentId> sparse;
  const auto chunk_blocks = members_->geometry().chunk_bytes / kBlockBytes;
  for (const auto& [segment, blocks] : live_blocks)
    if (segments_->at(segment).state == SegmentTable::State::kClosed && blocks * 4 < chunk_blocks)
      sparse.push_back(segment);
  return sparse.size() > 1 ? sparse : std::vector<SegmentId>();
}

void CheckpointStore::free_unnamed() {
  std::set<SegmentId> named;
  for (const auto* kept : {&newest_, &previous_})
    if (*kept) for_each_stripe(**kept, [&](const auto& stripe) { named.insert(stripe.segment); });
  for (SegmentId id; id.value < segments_->size(); id = id.next()) {
    const auto& segment = segments_->at(id);
    if (segment.kind == StripeClass::kIndex && segment.state == SegmentTable::State::kClosed &&
        !named.contains(id))
      segments_->release_at_once(id);
  }
}

}  // namespace square::pool
