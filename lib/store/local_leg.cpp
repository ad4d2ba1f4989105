#include "store/local_leg.hpp"

#include <algorithm>

#include "base/probe.hpp"

namespace square::store {

namespace {

// 256 extents of 4 KiB, with their places in at most 16 stripes.
constexpr std::uint64_t kDirectRecordBytesMax = 64u << 10;

// The end of a segment is used too, unless it is as good as nothing.
std::uint64_t next_stripe_bytes(const pool::Pool& pool, pool::StripeClass kind) {
  const auto full = stripe_fill_bytes(pool);
  const auto left = pool.stripe_bytes_left(kind) / 8 * 7;
  return left < full / 8 ? full : std::min(left, full);
}

}  // namespace

std::vector<pool::StripeItem> stripe_items(const format::Operation& operation,
                                           const std::vector<Buffer>& stored) {
  std::vector<pool::StripeItem> items;
  const auto* body = operation.writes();
  for (std::size_t i = 0; i < body->extents.size(); ++i) {
    const auto& [offset, extent] = body->extents[i];
    pool::StripeItem item;
    item.bytes.push_back(stored[i]);
    item.extent.group = operation.group;
    item.extent.volume = body->volume;
    item.extent.offset = offset;
    item.extent.plain_bytes = extent.plain_bytes;
    item.extent.stored_bytes = extent.stored_bytes;
    item.extent.id = extent.id;
    items.push_back(std::move(item));
  }
  return items;
}

std::uint64_t stripe_fill_bytes(const pool::Pool& pool) { return pool.stripe_bytes_max() / 8 * 7; }

Async<PlacedItems> place_items(pool::Pool& pool, pool::StripeClass kind,
                               std::vector<pool::StripeItem> items, int attempts) {
  PlacedItems placed;
  for (std::size_t next = 0; next < items.size();) {
    std::vector<pool::StripeItem> some;
    const auto bytes_max = next_stripe_bytes(pool, kind);
    for (std::uint64_t bytes = 0; next < items.size(); ++next) {
      bytes += total_size(items[next].bytes);
      if (!some.empty() && bytes > bytes_max) break;
      some.push_back(std::move(items[next]));
    }
    auto written = co_await pool.write_stripe(kind, some);
    for (int attempt = 1; attempt < attempts && written.failed_with(Code::kIo); ++attempt) {
      SQ_PROBE("a stripe was written again");
      written = co_await pool.write_stripe(kind, some);
    }
    if (!written.ok()) {
      for (const auto& stripe : placed.stripes) pool.forget_stripe(stripe);
      co_return std::move(written).error();
    }
    placed.places.insert(placed.places.end(), written->places.begin(), written->places.end());
    placed.stripes.push_back(std::move(written->stripe));
  }
  co_return placed;
}

Async<LaneLedger::Hold> append_held(Core& core, format::LaneRecord record,
                                    journal::Reserve reserve) {
  SQ_CO_TRY(const auto position,
            co_await core.lane->append(format::encode_record(record), reserve));
  co_return core.ledger.claim(position);
}

Async<> LocalLeg::place(LoggedOperation& logged) {
  SQ_CO_TRY(auto placed, co_await place_items(*core_.pool, pool::StripeClass::kFresh,
                                              stripe_items(logged.operation, logged.stored), 1));
  auto& body = std::get<format::WriteBody>(logged.operation.body);
  for (std::size_t i = 0; i < body.extents.size(); ++i)
    body.extents[i].extent.place = placed.places[i];
  logged.stripes = std::move(placed.stripes);
  co_return {};
}

// As if it had never been placed.
void LocalLeg::unplace(LoggedOperation& logged) {
  logged.stripes.clear();
  for (auto& written : std::get<format::WriteBody>(logged.operation.body).extents)
    written.extent.place = {};
}

bool LocalLeg::is_whole(const LoggedOperation& logged) const {
  return std::ranges::all_of(logged.stripes, [this](const format::StripeDescriptor& stripe) {
    return core_.pool->is_whole(stripe);
  });
}

Async<> LocalLeg::log(std::shared_ptr<LoggedOperation> logged) {
  if (logged->direct) co_return co_await log_direct(std::move(logged));
  const auto reserve = logged->operation.type == format::OperationType::kTermMark
                           ? journal::Reserve::kTermMark
                           : journal::Reserve::kOrdinary;
  format::LaneRecord record = format::OperationRecord{logged->operation, logged->stored};
  SQ_CO_TRY(logged->hold, co_await append_held(core_, std::move(record), reserve));
  co_return {};
}

// Room for the record and for the payload comes first, in the order of the sequences. Later
// operations may be in the journal before this one; they stay there until it is durable, and if it
// came for its room only then, it could find them all over the ring: docs/decisions/0010.
Async<> LocalLeg::log_direct(std::shared_ptr<LoggedOperation> logged) {
  const format::LaneRecord payload = format::OperationRecord{logged->operation, logged->stored};
  const auto payload_bytes = total_size(format::encode_record(payload));
  core_.work.set();  // it may have to be made
  SQ_CO_TRY(auto room, co_await core_.lane->reserve(payload_bytes, kDirectRecordBytesMax));
  // A stripe that is late, fails or finds no room: the payload goes to the journal instead.
  if ((co_await place(*logged)).ok()) {
    format::LaneRecord record = format::DirectRecord{logged->operation, logged->stripes};
    SQ_CO_TRY(const auto position,
              co_await core_.lane->append(format::encode_record(record), std::move(room.second)));
    logged->hold = core_.ledger.claim(position);
    if (is_whole(*logged)) {
      logged->stored.clear();
      ++core_.stats.direct_writes;
      co_return {};
    }
    // A member may have gone since the stripe was flushed: what is acknowledged has all its parity.
    // Of two records the later one counts.
    SQ_PROBE("a direct stripe lost a member before it was acknowledged");
  }
  const auto before = std::move(logged->stripes);
  unplace(*logged);
  SQ_CO_TRY(const auto position,
            co_await core_.lane->append(format::encode_record(payload), std::move(room.first)));
  logged->hold = core_.ledger.claim(position);
  // What the record before this one names is not what counts any more.
  for (const auto& stripe : before) core_.pool->forget_stripe(stripe);
  co_return {};
}

}  // namespace square::store
