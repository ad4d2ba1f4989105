#include "rpc/coordination_convert.hpp"

#include <algorithm>

namespace square::rpc {

namespace {

template <class Tag>
std::string bytes_of(const UuidId<Tag>& id) {
  return id.uuid.is_nil() ? std::string() : std::string(id.uuid.bytes.begin(), id.uuid.bytes.end());
}

template <class Tag>
Result<> take(const std::string& bytes, UuidId<Tag>& id) {
  if (bytes.empty()) return {};
  if (bytes.size() != id.uuid.bytes.size())
    return Error{Code::kInvalid, "an id has " + std::to_string(bytes.size()) + " bytes, not 16"};
  std::ranges::copy(bytes, id.uuid.bytes.begin());
  return {};
}

}  // namespace

void fill(const format::GroupRecord& record, v1::GroupRecord& out) {
  out.set_group(record.group.value);
  out.set_revision(record.revision);
  out.set_incarnation(record.incarnation.value);
  out.set_epoch_number(record.epoch.number);
  out.set_epoch_random(record.epoch.random);
  out.set_primary(bytes_of(record.primary));
  out.set_replica(bytes_of(record.replica));
  out.set_backup(bytes_of(record.backup));
  out.set_in_sync(record.in_sync);
  out.set_pending_loss(bytes_of(record.pending_loss));
}

void fill(const cluster::CoordinatorAnswer& answer, v1::CoordinatorAnswer& out) {
  out.set_identity(bytes_of(answer.identity));
  out.set_revision(answer.revision);
  if (answer.record) fill(*answer.record, *out.mutable_record());
  out.set_swapped(answer.swapped);
}

Result<format::GroupRecord> record_of(const v1::GroupRecord& message) {
  format::GroupRecord record;
  record.group = GroupId(message.group());
  record.revision = message.revision();
  record.incarnation = Incarnation(message.incarnation());
  record.epoch = {message.epoch_number(), message.epoch_random()};
  SQ_TRY(take(message.primary(), record.primary));
  SQ_TRY(take(message.replica(), record.replica));
  SQ_TRY(take(message.backup(), record.backup));
  record.in_sync = message.in_sync();
  SQ_TRY(take(message.pending_loss(), record.pending_loss));
  return record;
}

Result<cluster::CoordinatorAnswer> answer_of(const v1::CoordinatorAnswer& message) {
  cluster::CoordinatorAnswer answer;
  SQ_TRY(take(message.identity(), answer.identity));
  answer.revision = message.revision();
  if (message.has_record()) {
    SQ_TRY(answer.record, record_of(message.record()));
  }
  answer.swapped = message.swapped();
  return answer;
}

}  // namespace square::rpc
