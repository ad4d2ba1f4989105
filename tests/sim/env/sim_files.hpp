#pragma once
// Small files in memory. A write is atomic and durable at once, so a crash loses nothing; what can
// happen is that an operation fails.

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "env/files.hpp"

namespace square::sim {

class SimFiles final : public env::Files {
 public:
  Result<ByteVector> read(const std::string& path, std::size_t size_max) override;
  Result<> write_atomic(const std::string& path, Bytes bytes) override;
  Result<> make_folder(const std::string& path) override;
  Result<> remove_tree(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

  // The call after `calls` others fails with `code` (kIo, kNoSpace, kDenied), once or from then on.
  void fail_call(std::uint64_t calls, Code code, bool sticky = false);
  void set_read_only(bool read_only) { read_only_ = read_only; }
  void set_dead(bool dead) { dead_ = dead; }  // its process has crashed: nothing is done any more
  std::uint64_t faults_fired() const { return faults_fired_; }

 private:
  struct Armed {
    std::uint64_t calls;
    Code code;
    bool sticky;
  };
  Result<> call(const std::string& path, bool changes);

  std::map<std::string, ByteVector> files_;
  std::set<std::string> folders_;
  std::optional<Armed> armed_;
  bool read_only_ = false;
  bool dead_ = false;
  std::uint64_t faults_fired_ = 0;
};

}  // namespace square::sim
