#include "sim/engine/index_storage.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "index/map_kv.hpp"
#include "index/rocks_kv.hpp"

namespace square::sim {
namespace {

class MapIndex : public IndexStorage {
 public:
  index::KvFactory& factory() override { return factory_; }
  std::size_t states() const override { return storage_.states(); }
  void crash(std::size_t count) override { storage_.crash(std::min(count, storage_.states())); }

 private:
  index::MapKvStorage storage_;
  index::MapKvFactory factory_{storage_};
};

// ---- RocksDB keeps its newest flush by itself; earlier ones are copies of the files of each
// export.

constexpr std::size_t kStatesMax = 4;
constexpr const char* kFolder = "/index";

using Files = std::map<std::string, ByteVector>;
using States = std::vector<Files>;

Result<> remember(index::KvExport& files, States& states) {
  Files copy;
  for (const auto& file : files.files()) {
    SQ_TRY(const auto bytes, files.read(file, 0, static_cast<std::uint32_t>(file.size_bytes)));
    copy[file.name] = ByteVector(bytes.bytes().begin(), bytes.bytes().end());
  }
  states.push_back(std::move(copy));
  if (states.size() > kStatesMax) states.erase(states.begin());
  return {};
}

class RememberingKv : public index::Kv {
 public:
  RememberingKv(std::unique_ptr<index::Kv> kv, States& states)
      : kv_(std::move(kv)), states_(states) {}
  Result<std::optional<ByteVector>> get(index::Family family, Bytes key) override {
    return kv_->get(family, key);
  }
  std::unique_ptr<index::KvIterator> iterate(index::Family family) override {
    return kv_->iterate(family);
  }
  Result<> write(const index::KvBatch& batch) override { return kv_->write(batch); }
  Result<> flush() override {
    SQ_TRY(export_files());
    return {};
  }
  Result<std::unique_ptr<index::KvExport>> export_files() override {
    SQ_TRY(auto files, kv_->export_files());
    SQ_TRY(remember(*files, states_));
    return files;
  }
  std::uint64_t memory_bytes() const override { return kv_->memory_bytes(); }

 private:
  std::unique_ptr<index::Kv> kv_;
  States& states_;
};

class RocksIndex : public IndexStorage, public index::KvFactory {
 public:
  index::KvFactory& factory() override { return *this; }
  std::size_t states() const override { return states_.size(); }
  void crash(std::size_t count) override {
    if (count >= states_.size()) return;
    states_.resize(count);
    rocks_ = empty();
    if (states_.empty()) return;
    auto import = rocks_->import_files();
    SQ_CHECK(import.ok());
    for (const auto& [name, bytes] : states_.back()) SQ_CHECK((*import)->put(name, 0, bytes).ok());
    SQ_CHECK((*import)->finish().ok(), "an earlier flush of the index opens again");
  }

  Result<std::unique_ptr<index::Kv>> open_local() override { return wrap(rocks_->open_local()); }
  Result<std::unique_ptr<index::Kv>> create_empty() override {
    states_.clear();
    return wrap(rocks_->create_empty());
  }
  Result<std::unique_ptr<Import>> import_files() override {
    states_.clear();
    SQ_TRY(auto import, rocks_->import_files());
    return std::unique_ptr<Import>(std::make_unique<RememberingImport>(*this, std::move(import)));
  }

 private:
  struct RememberingImport : Import {
    RememberingImport(RocksIndex& index, std::unique_ptr<Import> import)
        : index_(index), import_(std::move(import)) {}
    Result<> put(const std::string& name, std::uint64_t offset, Bytes bytes) override {
      return import_->put(name, offset, bytes);
    }
    Result<std::unique_ptr<index::Kv>> finish() override {
      SQ_TRY(auto kv, import_->finish());
      SQ_TRY(const auto files, kv->export_files());
      SQ_TRY(remember(*files, index_.states_));
      return index_.wrap(std::move(kv));
    }
    RocksIndex& index_;
    std::unique_ptr<Import> import_;
  };

  Result<std::unique_ptr<index::Kv>> wrap(Result<std::unique_ptr<index::Kv>> kv) {
    if (!kv.ok()) return kv;
    return std::unique_ptr<index::Kv>(
        std::make_unique<RememberingKv>(std::move(kv).value(), states_));
  }
  static std::unique_ptr<index::RocksKvFactory> empty() {
    index::RocksOptions options;
    options.in_memory = true;
    options.block_cache_bytes = 4u << 20;
    return std::make_unique<index::RocksKvFactory>(kFolder, options);
  }

  States states_;
  std::unique_ptr<index::RocksKvFactory> rocks_ = empty();
};

}  // namespace

std::unique_ptr<IndexStorage> map_index() { return std::make_unique<MapIndex>(); }
std::unique_ptr<IndexStorage> rocks_index() { return std::make_unique<RocksIndex>(); }

}  // namespace square::sim
