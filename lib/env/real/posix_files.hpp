#pragma once

#include "env/files.hpp"

namespace square::env {

class PosixFiles final : public Files {
 public:
  Result<ByteVector> read(const std::string& path, std::size_t size_max) override;
  Result<> write_atomic(const std::string& path, Bytes bytes) override;
  Result<> make_folder(const std::string& path) override;
  Result<> remove_tree(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
};

}  // namespace square::env
