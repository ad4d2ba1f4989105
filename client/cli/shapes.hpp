#pragma once
// The JSON that scripts read, from the control plane's messages.

#include "client/cli/context.hpp"

namespace square::cli {

Json shape(const v1::Volume& volume);
Json shape(const v1::Snapshot& snapshot);
Json shape(const v1::Disk& disk);
Json shape(const v1::Pool& pool);
Json shape(const v1::HealthReport& report);
Json shape(const v1::Node& node);
Json shape(const v1::Group& group);
Json shape(const v1::Operation& operation);
// An array of the shapes of a repeated field.
template <class Items>
Json shapes(const Items& items) {
  auto array = Json::array();
  for (const auto& item : items) array.push_back(shape(item));
  return array;
}

}  // namespace square::cli
