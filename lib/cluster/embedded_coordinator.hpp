#pragma once
// The coordinator of a playground and of tests: its whole state is one small file that is replaced
// at each change (docs/decisions/0016-embedded-coordinator.md). One process, one loop; what
// survives the loss of its machine is a real cell's business, which has etcd.

#include <memory>
#include <string>

#include "cluster/coordinator.hpp"
#include "env/sync.hpp"

namespace square::cluster {

class EmbeddedCoordinator final : public Coordinator {
 public:
  // Makes the file with a fresh identity. Errors: kExists (there is one, whatever it holds), those
  // of the file.
  static Result<> create(env::Files& files, env::Random& random, const std::string& file);
  // Errors: kNotFound (create() was never called here, or the file is gone: then a new one would be
  // another coordinator, which the nodes refuse), kCorrupt, kUnsupported, those of the file.
  static Result<std::unique_ptr<EmbeddedCoordinator>> open(env::Loop& loop, env::Files& files,
                                                           std::string file);

  Async<CoordinatorAnswer> read(GroupId group) override;
  // A change that could not be made durable leaves it unknown what a restart finds: from then on
  // every call gives kUnavailable until it is opened again.
  Async<CoordinatorAnswer> compare_and_swap(std::uint64_t expected,
                                            format::GroupRecord wanted) override;
  Async<bool> wait_for_change(std::uint64_t known, env::Duration at_most) override;
  Async<std::vector<format::GroupRecord>> list() override;

  const format::CoordinatorState& state() const { return state_; }

 private:
  EmbeddedCoordinator(env::Loop& loop, env::Files& files, std::string file,
                      format::CoordinatorState state);
  CoordinatorAnswer answer(GroupId group) const;
  Result<> alive() const;

  env::Loop& loop_;
  env::Files& files_;
  std::string file_;
  format::CoordinatorState state_;
  std::optional<Error> broken_;
  std::shared_ptr<env::Event> changed_;  // shared with those who wait, and with their timers
};

}  // namespace square::cluster
