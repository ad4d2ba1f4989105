#pragma once
// An index without an engine, filled with operations that never were.

#include <memory>
#include <string>
#include <vector>

#include "bench/content.hpp"
#include "index/index.hpp"
#include "index/rocks_kv.hpp"

namespace square::bench {

class FilledIndex {
 public:
  static constexpr GroupId kGroup{1};

  explicit FilledIndex(std::string folder);
  Result<> open();
  index::Index& index() { return *index_; }

  // One operation with one extent at each offset, placed in stripes, given to the index in batches.
  Result<> write(VolumeId volume, const std::vector<std::uint64_t>& offsets,
                 std::uint32_t extent_bytes, std::size_t batch_operations = 256);
  Result<> write_sequential(VolumeId volume, std::uint64_t extents, std::uint32_t extent_bytes);
  Result<Sequence> snapshot();
  // Of all files of a flushed copy.
  Result<std::uint64_t> file_bytes();

 private:
  format::Operation next(format::OperationType type);
  void place(format::ExtentRef& extent, VolumeId volume, std::uint64_t offset);
  Result<> apply();

  index::RocksKvFactory factory_;
  std::unique_ptr<index::Index> index_;
  Sequence last_;
  format::StripeDescriptor stripe_;  // being filled
  std::vector<format::Operation> operations_;
  std::vector<format::StripeDescriptor> stripes_;
  Random random_{5};
};

}  // namespace square::bench
