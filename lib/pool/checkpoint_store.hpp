#pragma once
// Checkpoints in the pool: files as stripes, a manifest, and the labels that name it. Two are kept:
// the newest, and the one before it for the time while a newer is written.

#include <memory>
#include <optional>

#include "env/sync.hpp"
#include "format/checkpoint.hpp"
#include "pool/stripe_io.hpp"

namespace square::pool {

class CheckpointStore {
 public:
  // `candidates`: whatever the labels of good disks name.
  CheckpointStore(std::shared_ptr<Members> members, std::shared_ptr<SegmentTable> segments,
                  StripeIo& stripes, env::Loop& loop,
                  std::vector<format::CheckpointRef> candidates);

  // Contracts: Pool.
  Async<std::optional<Checkpoint>> load_newest();
  Async<std::optional<Checkpoint>> load_older();
  Async<> confirm();
  Async<Buffer> read_file(CheckpointFile file, std::uint64_t offset, std::uint32_t size);
  Async<> write(Checkpoint checkpoint, Pool::ReadFile read);

  // Stripes that the kept checkpoints name.
  std::optional<format::StripeDescriptor> find(const StripeKey& key) const;
  std::vector<format::StripeDescriptor> stripes_in(SegmentId segment) const;

 private:
  struct Kept {
    format::CheckpointRef ref;
    format::CheckpointManifest manifest;
  };
  using Stripes = std::vector<format::StripeDescriptor>;

  Async<std::optional<Checkpoint>> load_from(std::size_t candidate);
  Async<Kept> read_manifest(format::CheckpointRef ref);
  Result<> adopt(const Kept& kept);
  Async<format::ManifestFile> store_file(CheckpointFile file, const Pool::ReadFile& read,
                                         Stripes& written);
  Async<format::CheckpointRef> store_manifest(format::CheckpointManifest manifest,
                                              Stripes& written);
  Async<format::StripeDescriptor> store_stripe(Buffer bytes, Stripes& written);
  Async<Kept> store_all(Checkpoint checkpoint, const Pool::ReadFile& read, std::uint64_t begun,
                        Stripes& written);
  const format::ManifestFile* find_file(const CheckpointFile& file) const;
  std::vector<SegmentId> mostly_dead() const;
  std::uint32_t piece_bytes() const;
  void free_unnamed();
  Result<> check_members() const;
  template <class Visit>
  void for_each_stripe(const Kept& kept, Visit visit) const;

  std::shared_ptr<Members> members_;
  std::shared_ptr<SegmentTable> segments_;
  StripeIo& stripes_;
  std::vector<format::CheckpointRef> candidates_;  // newest first
  std::size_t loaded_candidate_ = 0;
  std::optional<Kept> newest_, previous_;
  std::optional<format::CheckpointRef> unreadable_;  // newer than newest_, and named by labels
  env::Mutex writing_;
};

}  // namespace square::pool
