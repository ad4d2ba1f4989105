#include "index/kv.hpp"

namespace square::index {

void KvBatch::put(Family family, Bytes key, Bytes value) {
  entries_.push_back({family, false, {key.begin(), key.end()}, {value.begin(), value.end()}});
}

void KvBatch::erase(Family family, Bytes key) {
  entries_.push_back({family, true, {key.begin(), key.end()}, {}});
}

}  // namespace square::index
