// Destaging: committed operations leave journal and write buffer for full stripes.
#include "store/group.hpp"
#include "store/local_leg.hpp"

namespace square::store {

namespace {

constexpr std::size_t kDestageOperationsMax = 1024;

// What an operation adds to a placement record, at most: itself without payload, and its extents in
// the descriptor of a stripe, its own or the one that is being made.
std::uint64_t placement_bytes(const format::Operation& operation, std::size_t stripes) {
  constexpr std::uint64_t kOperationBytes = 256, kExtentBytes = 160, kStripeBytes = 512;
  auto bytes = kOperationBytes + kStripeBytes * stripes;
  if (const auto* body = operation.writes()) bytes += kExtentBytes * body->extents.size();
  if (const auto* body = std::get_if<format::RecordBody>(&operation.body))
    bytes += body->key.size() + body->value.size();
  return bytes;
}

}  // namespace

// The oldest operations that the index lacks, up to a stripe's worth of unplaced extents.
Group::Take Group::take_for_destage() const {
  Take take;
  std::uint64_t bytes = 0;
  const auto bytes_max = stripe_fill_bytes(*core_.pool);
  std::uint64_t record_bytes = 0;
  for (const auto& logged : pending_) {
    if (!logged->committed || take.operations.size() == kDestageOperationsMax) break;
    record_bytes += placement_bytes(logged->operation, logged->stripes.size());
    if (!take.operations.empty() && record_bytes > core_.lane->record_bytes_max() / 4 * 3) break;
    if (!logged->operation.placed()) {
      if (take.any_unplaced && bytes + logged->stored_bytes > bytes_max) break;
      bytes += logged->stored_bytes;
      take.any_unplaced = true;
      auto items = stripe_items(logged->operation, logged->stored);
      std::move(items.begin(), items.end(), std::back_inserter(take.items));
    }
    take.operations.push_back(logged);
  }
  return take;
}

Async<> Group::destage_once() {
  SQ_CO_TRY(core_.alive());
  auto take = take_for_destage();
  if (!take.any_unplaced) co_return apply_ready();
  const Busy busy(core_.options.activities, Activity::kDestage);

  auto written =
      co_await place_items(*core_.pool, pool::StripeClass::kFresh, take.items, kStripeAttempts);
  // What is acknowledged may use the cleaner's reserve too.
  if (written.failed_with(Code::kNoSpace))
    written = co_await place_items(*core_.pool, pool::StripeClass::kCleaned, std::move(take.items),
                                   kStripeAttempts);
  SQ_CO_TRY(auto placed, std::move(written));

  format::PlacementRecord record;
  record.group = id_;
  record.stripes = placed.stripes;
  std::size_t next_place = 0;
  for (const auto& logged : take.operations) {
    auto operation = logged->operation;
    if (!operation.placed())
      for (auto& written_extent : std::get<format::WriteBody>(operation.body).extents)
        written_extent.extent.place = placed.places[next_place++];
    record.stripes.insert(record.stripes.end(), logged->stripes.begin(), logged->stripes.end());
    record.operations.push_back(std::move(operation));
  }
  auto hold = co_await append_held(core_, record, journal::Reserve::kPlacement);
  if (!hold.ok()) {
    core_.fail(hold.error());
    co_return std::move(hold).error();
  }

  // The placement record stands for all of them now.
  for (std::size_t i = 0; i < take.operations.size(); ++i) {
    const auto& logged = take.operations[i];
    if (!logged->operation.placed()) unplaced_bytes_ -= logged->stored_bytes;
    logged->operation.body = std::move(record.operations[i].body);
    logged->stored.clear();
    logged->hold.release();
  }
  take.operations.back()->hold = std::move(*hold);
  auto& stripes = take.operations.front()->stripes;
  std::move(placed.stripes.begin(), placed.stripes.end(), std::back_inserter(stripes));
  ++core_.stats.destages;
  co_return apply_ready();
}

}  // namespace square::store
