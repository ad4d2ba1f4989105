#pragma once
// Records of the coordinator as messages and back.

#include <square/v1/coordinator.pb.h>
#include "cluster/coordinator.hpp"

namespace square::rpc {

void fill(const format::GroupRecord& record, v1::GroupRecord& out);
void fill(const cluster::CoordinatorAnswer& answer, v1::CoordinatorAnswer& out);
// Errors: kInvalid (an id that is none).
Result<format::GroupRecord> record_of(const v1::GroupRecord& message);
Result<cluster::CoordinatorAnswer> answer_of(const v1::CoordinatorAnswer& message);

}  // namespace square::rpc
