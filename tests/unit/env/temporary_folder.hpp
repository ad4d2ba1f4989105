#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/check.hpp"

namespace square::test {

// Gone with the test.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& parent = std::filesystem::temp_directory_path())
      : path_(parent + "/square-test-XXXXXX") {
    SQ_CHECK(::mkdtemp(path_.data()) != nullptr, path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string make_sized_file(const TemporaryFolder& folder, const std::string& name,
                                   std::uint64_t size) {
  const auto path = folder.path(name);
  std::ofstream(path).close();
  std::filesystem::resize_file(path, size);
  return path;
}

}  // namespace square::test
