#pragma once

#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace square::env {

// Small files of a node: identity, keys, certificates. Synchronous; for start-up and rare changes.
class Files {
 public:
  virtual ~Files() = default;
  // Errors: kNotFound, kDenied, kIo, kInvalid (larger than `size_max`).
  virtual Result<ByteVector> read(const std::string& path, std::size_t size_max) = 0;
  // All or nothing, and durable when it returns (temporary file, fsync, rename, fsync of the
  // folder). Mode 0600. Errors: kDenied, kNoSpace, kIo.
  virtual Result<> write_atomic(const std::string& path, Bytes bytes) = 0;
  virtual Result<> make_folder(const std::string& path) = 0;  // with parents; ok if it exists
  virtual Result<> remove_tree(const std::string& path) = 0;  // ok if it does not exist
  virtual bool exists(const std::string& path) = 0;
  // Names, sorted. Errors: kNotFound, kDenied, kIo.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
};

}  // namespace square::env
