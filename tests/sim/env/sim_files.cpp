#include "sim/env/sim_files.hpp"

namespace square::sim {
namespace {

bool below(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

}  // namespace

void SimFiles::fail_call(std::uint64_t calls, Code code, bool sticky) {
  armed_ = Armed{calls, code, sticky};
}

Result<> SimFiles::call(const std::string& path, bool changes) {
  if (dead_) return Error{Code::kIo, path + ": the process has crashed"};
  if (armed_ && armed_->calls == 0) {
    const auto code = armed_->code;
    if (!armed_->sticky) armed_.reset();
    ++faults_fired_;
    return Error{code, path + ": injected"};
  }
  if (armed_) --armed_->calls;
  if (changes && read_only_) return Error{Code::kIo, path + ": read-only file system"};
  return {};
}

Result<ByteVector> SimFiles::read(const std::string& path, std::size_t size_max) {
  SQ_TRY(call(path, false));
  const auto found = files_.find(path);
  if (found == files_.end()) return Error{Code::kNotFound, path + ": no such file"};
  if (found->second.size() > size_max) return Error{Code::kInvalid, path + ": too large"};
  return found->second;
}

Result<> SimFiles::write_atomic(const std::string& path, Bytes bytes) {
  SQ_TRY(call(path, true));
  const auto slash = path.rfind('/');
  const auto folder = slash == path.npos ? std::string() : path.substr(0, slash);
  if (!folder.empty() && !folders_.contains(folder))
    return Error{Code::kIo, path + ": no such folder"};
  if (folders_.contains(path)) return Error{Code::kIo, path + ": is a folder"};
  files_[path] = ByteVector(bytes.begin(), bytes.end());
  return {};
}

Result<> SimFiles::make_folder(const std::string& path) {
  SQ_TRY(call(path, true));
  for (auto at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1))
    folders_.insert(path.substr(0, at));
  folders_.insert(path);
  return {};
}

Result<> SimFiles::remove_tree(const std::string& path) {
  SQ_TRY(call(path, true));
  std::erase_if(files_,
                [&](const auto& file) { return file.first == path || below(file.first, path); });
  std::erase_if(folders_,
                [&](const auto& folder) { return folder == path || below(folder, path); });
  return {};
}

bool SimFiles::exists(const std::string& path) {
  return !dead_ && (files_.contains(path) || folders_.contains(path));
}

Result<std::vector<std::string>> SimFiles::list(const std::string& path) {
  SQ_TRY(call(path, false));
  if (!folders_.contains(path)) return Error{Code::kNotFound, path + ": no such folder"};
  std::set<std::string> names;
  const auto add = [&](const std::string& full) {
    if (!below(full, path)) return;
    const auto rest = full.substr(path.size() + 1);
    names.insert(rest.substr(0, rest.find('/')));
  };
  for (const auto& [file, bytes] : files_) add(file);
  for (const auto& folder : folders_) add(folder);
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace square::sim
