#include "store/seals.hpp"

#include "base/planted.hpp"

namespace square::store {

void Seals::restore(std::uint32_t reference, const codec::SealId& id) {
  table_[reference] = id;
  next_reference_ = std::max(next_reference_, reference + 1);
}

Result<codec::SealId> Seals::find(std::uint32_t reference) const {
  const auto found = table_.find(reference);
  if (found == table_.end())
    return Error{Code::kCorrupt, "an extent names seal " + std::to_string(reference) +
                                     ", which the group's log never recorded"};
  return found->second;
}

Async<Seals::Borrowed> Seals::borrow(std::uint32_t frames) {
  co_await free_.acquire(1);
  while (!idle_.empty() && idle_.back()->exhausted(frames)) idle_.pop_back();
  if (!idle_.empty()) {
    auto sealer = std::move(idle_.back());
    idle_.pop_back();
    co_return Borrowed(*this, std::move(sealer));
  }
  if (SQ_PLANTED("seal_goes_on") && !std::exchange(went_on_, true) && !table_.empty()) {
    const auto& [last, seal] = *table_.rbegin();
    co_return Borrowed(*this, std::make_unique<codec::Sealer>(seal, last));
  }
  const auto reference = next_reference_++;
  codec::SealId id;
  env_.random.fill(id);
  auto recorded = co_await record_(reference, id);
  if (!recorded.ok()) {
    free_.release(1);
    co_return std::move(recorded).error().context("record a new seal");
  }
  table_[reference] = id;
  co_return Borrowed(*this, std::make_unique<codec::Sealer>(id, reference));
}

void Seals::give_back(std::unique_ptr<codec::Sealer> sealer) {
  idle_.push_back(std::move(sealer));
  free_.release(1);
}

}  // namespace square::store
