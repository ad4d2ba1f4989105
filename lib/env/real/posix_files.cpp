#include "env/real/posix_files.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "env/real/system_error.hpp"

namespace square::env {

namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string folder_of(const std::string& path) {
  const auto folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Result<> sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || ::fsync(folder.get()) != 0) return system_error("sync folder " + path);
  return {};
}

Result<> write_all(int fd, Bytes bytes, const std::string& path) {
  while (!bytes.empty()) {
    const auto size = ::write(fd, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return system_error("write " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(size));
  }
  if (::fsync(fd) != 0) return system_error("sync " + path);
  return {};
}

}  // namespace

Result<ByteVector> PosixFiles::read(const std::string& path, std::size_t size_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.ok()) return system_error("open " + path);
  struct stat st{};
  if (::fstat(file.get(), &st) != 0) return system_error("stat " + path);
  if (!S_ISREG(st.st_mode)) return Error{Code::kInvalid, path + " is not a regular file"};
  // One byte more than allowed shows that there is more; the file may grow while it is read.
  const auto known = std::min(static_cast<std::size_t>(st.st_size), size_max);
  ByteVector bytes(known + 1);
  std::size_t at = 0;
  for (;;) {
    const auto size = ::read(file.get(), bytes.data() + at, bytes.size() - at);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return system_error("read " + path);
    if (size == 0) break;
    at += static_cast<std::size_t>(size);
    if (at > size_max)
      return Error{Code::kInvalid, path + " is larger than " + std::to_string(size_max) + " bytes"};
    if (at == bytes.size()) bytes.resize(std::min(bytes.size() * 2, size_max + 1));
  }
  bytes.resize(at);
  return bytes;
}

Result<> PosixFiles::write_atomic(const std::string& path, Bytes bytes) {
  auto temporary = path + ".XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (!file.ok()) return system_error("create " + temporary);
  auto written = write_all(file.get(), bytes, temporary);
  if (written.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    written = system_error("rename " + temporary + " to " + path);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  return sync_folder(folder_of(path));
}

Result<> PosixFiles::make_folder(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return {};
    return Error{Code::kInvalid, path + " is not a folder"};
  }
  const auto parent = folder_of(fs::path(path).lexically_normal().string());
  if (parent != path) SQ_TRY(make_folder(parent));
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return system_error("make " + path);
  return sync_folder(parent);
}

Result<> PosixFiles::remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return system_error("remove " + path, error.value());
  return {};
}

bool PosixFiles::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::vector<std::string>> PosixFiles::list(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error) return system_error("list " + path, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace square::env
