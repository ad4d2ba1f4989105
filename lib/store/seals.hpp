#pragma once
// Seal ids of a group: the table that turns a header's reference into a seal id, and the Sealers of
// this serving term. A term never goes on with an older term's seal: every Sealer starts with a
// fresh id, whose record is committed before the first extent that names it.

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "codec/seal.hpp"
#include "env/env.hpp"
#include "env/sync.hpp"

namespace square::store {

class Seals {
 public:
  // Commits the record of a new seal; called without any lock of this class.
  using Record = std::function<Async<>(std::uint32_t reference, codec::SealId id)>;

  Seals(env::Env env, std::size_t sealers_max, Record record)
      : env_(env), free_(env.loop, sealers_max), record_(std::move(record)) {}

  void restore(std::uint32_t reference, const codec::SealId& id);
  Result<codec::SealId> find(std::uint32_t reference) const;

  // One Sealer, alone, able to seal `frames` more. Given back when it dies.
  class Borrowed {
   public:
    Borrowed(Seals& owner, std::unique_ptr<codec::Sealer> sealer)
        : owner_(&owner), sealer_(std::move(sealer)) {}
    Borrowed(Borrowed&&) = default;
    Borrowed& operator=(Borrowed&&) = delete;
    ~Borrowed() {
      if (sealer_ != nullptr) owner_->give_back(std::move(sealer_));
    }
    codec::Sealer& operator*() const { return *sealer_; }

   private:
    Seals* owner_;
    std::unique_ptr<codec::Sealer> sealer_;
  };
  Async<Borrowed> borrow(std::uint32_t frames);

 private:
  void give_back(std::unique_ptr<codec::Sealer> sealer);

  env::Env env_;
  env::Budget free_;
  Record record_;
  std::map<std::uint32_t, codec::SealId> table_;
  std::uint32_t next_reference_ = 1;
  std::vector<std::unique_ptr<codec::Sealer>> idle_;
  bool went_on_ = false;  // the planted bug has had its turn
};

}  // namespace square::store
