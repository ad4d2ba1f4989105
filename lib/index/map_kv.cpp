#include "index/map_kv.hpp"

#include <algorithm>
#include <map>

#include "base/planted.hpp"
#include "codec/checksum.hpp"

namespace square::index {
namespace {

constexpr std::size_t kChunkEntries = 256;

bool before(Bytes a, Bytes b) { return as_text(a) < as_text(b); }

std::string_view family_name(std::size_t family) {
  static constexpr std::array<std::string_view, kFamilies> kNames{
      "meta", "present", "history", "records", "record_history", "stripes", "segments"};
  return kNames[family];
}

}  // namespace

struct MapEntry {
  ByteVector key, value;
};
using MapChunk = std::vector<MapEntry>;  // ascending, never empty

struct MapTable {
  std::vector<std::shared_ptr<const MapChunk>> chunks;

  // The chunk in which `key` stands, or would.
  std::size_t chunk_of(Bytes key) const {
    const auto behind =
        std::upper_bound(chunks.begin(), chunks.end(), key,
                         [](Bytes k, const auto& chunk) { return before(k, chunk->front().key); });
    return behind == chunks.begin() ? 0 : static_cast<std::size_t>(behind - chunks.begin()) - 1;
  }
  static std::size_t entry_of(const MapChunk& chunk, Bytes key) {
    const auto at = std::lower_bound(chunk.begin(), chunk.end(), key,
                                     [](const auto& e, Bytes k) { return before(e.key, k); });
    return static_cast<std::size_t>(at - chunk.begin());
  }
  MapChunk& own(std::size_t i) {
    if (chunks[i].use_count() > 1) chunks[i] = std::make_shared<const MapChunk>(*chunks[i]);
    return const_cast<MapChunk&>(*chunks[i]);
  }

  void put(Bytes key, Bytes value) {
    ByteVector bytes(value.begin(), value.end());
    if (chunks.empty()) {
      chunks.push_back(std::make_shared<const MapChunk>(
          1, MapEntry{{key.begin(), key.end()}, std::move(bytes)}));
      return;
    }
    const auto i = chunk_of(key);
    auto& chunk = own(i);
    const auto at = entry_of(chunk, key);
    if (at < chunk.size() && !before(key, chunk[at].key)) {
      chunk[at].value = std::move(bytes);
      return;
    }
    chunk.insert(chunk.begin() + static_cast<std::ptrdiff_t>(at),
                 MapEntry{{key.begin(), key.end()}, std::move(bytes)});
    if (chunk.size() > kChunkEntries) split(i);
  }
  void split(std::size_t i) {
    auto& chunk = own(i);
    const auto middle = chunk.begin() + kChunkEntries / 2;
    auto upper = std::make_shared<const MapChunk>(std::make_move_iterator(middle),
                                                  std::make_move_iterator(chunk.end()));
    chunk.erase(middle, chunk.end());
    chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(i) + 1, std::move(upper));
  }
  void erase(Bytes key) {
    if (chunks.empty()) return;
    const auto i = chunk_of(key);
    const auto at = entry_of(*chunks[i], key);
    if (at >= chunks[i]->size() || before(key, (*chunks[i])[at].key)) return;
    if (chunks[i]->size() == 1) {
      chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    auto& chunk = own(i);
    chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(at));
  }
  const MapEntry* find(Bytes key) const {
    if (chunks.empty()) return nullptr;
    const auto& chunk = *chunks[chunk_of(key)];
    const auto at = entry_of(chunk, key);
    return at < chunk.size() && !before(key, chunk[at].key) ? &chunk[at] : nullptr;
  }
};

namespace {

using State = std::array<std::shared_ptr<const MapTable>, kFamilies>;

State empty_state() {
  State state;
  for (auto& table : state) table = std::make_shared<const MapTable>();
  return state;
}

class MapIterator : public KvIterator {
 public:
  explicit MapIterator(std::shared_ptr<const MapTable> table) : table_(std::move(table)) {}

  void seek(Bytes key) override {
    chunk_ = entry_ = 0;
    if (table_->chunks.empty()) return;
    chunk_ = table_->chunk_of(key);
    entry_ = MapTable::entry_of(*table_->chunks[chunk_], key);
    if (entry_ == table_->chunks[chunk_]->size()) {
      ++chunk_;
      entry_ = 0;
    }
  }
  void seek_for_prev(Bytes key) override {
    seek(key);
    if (valid() && !before(key, this->key())) return;
    prev();
  }
  void next() override {
    SQ_CHECK(valid());
    if (++entry_ < table_->chunks[chunk_]->size()) return;
    ++chunk_;
    entry_ = 0;
  }
  // Also from behind the last entry, for seek_for_prev.
  void prev() override {
    if (entry_ > 0) {
      --entry_;
    } else if (chunk_ > 0) {
      --chunk_;
      entry_ = table_->chunks[chunk_]->size() - 1;
    } else {
      chunk_ = table_->chunks.size();
    }
  }
  bool valid() const override { return chunk_ < table_->chunks.size(); }
  Bytes key() const override { return (*table_->chunks[chunk_])[entry_].key; }
  Bytes value() const override { return (*table_->chunks[chunk_])[entry_].value; }
  Result<> status() const override { return {}; }

 private:
  std::shared_ptr<const MapTable> table_;
  std::size_t chunk_ = 0, entry_ = 0;
};

// A file is one chunk: where chunks did not change, neither do the files.
class MapExport : public KvExport {
 public:
  explicit MapExport(const State& state) {
    for (std::size_t family = 0; family < kFamilies; ++family) {
      for (std::size_t i = 0; i < state[family]->chunks.size(); ++i)
        add(std::string(family_name(family)) + "." + std::to_string(i), family,
            *state[family]->chunks[i]);
    }
  }
  const std::vector<KvFile>& files() const override { return files_; }
  Result<Buffer> read(const KvFile& file, std::uint64_t offset, std::uint32_t size) override {
    const auto found = contents_.find(file.name);
    if (found == contents_.end()) return Error{Code::kNotFound, "no file " + file.name};
    const Bytes bytes(found->second);
    if (offset > bytes.size() || size > bytes.size() - offset)
      return Error{Code::kInvalid, "read past the end of " + file.name};
    return Buffer::copy_of(bytes.subspan(offset, size));
  }

 private:
  void add(std::string name, std::size_t family, const MapChunk& chunk) {
    ByteVector bytes;
    Writer out(bytes);
    out.put(static_cast<std::uint8_t>(family));
    for (const auto& entry : chunk) {
      out.put_sized(entry.key);
      out.put_sized(entry.value);
    }
    files_.push_back({name, content_key(bytes), bytes.size()});
    contents_.emplace(std::move(name), std::move(bytes));
  }
  static std::string content_key(Bytes bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string key = "map-";
    for (const auto byte : codec::checksum128(bytes)) {
      key.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
      key.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
    }
    return key;
  }
  std::vector<KvFile> files_;
  std::map<std::string, ByteVector> contents_;
};

}  // namespace

class MapKv : public Kv {
 public:
  MapKv(MapKvStorage& storage, State state) : storage_(storage), state_(std::move(state)) {}

  Result<std::optional<ByteVector>> get(Family family, Bytes key) override {
    const auto* entry = table(family)->find(key);
    if (!entry) return std::optional<ByteVector>();
    return std::optional(entry->value);
  }
  std::unique_ptr<KvIterator> iterate(Family family) override {
    return std::make_unique<MapIterator>(table(family));
  }
  Result<> write(const KvBatch& batch) override {
    for (const auto& entry : batch.entries()) {
      auto& shared = table(entry.family);
      if (shared.use_count() > 1) shared = std::make_shared<const MapTable>(*shared);
      auto& own = const_cast<MapTable&>(*shared);
      if (entry.erase)
        own.erase(entry.key);
      else
        own.put(entry.key, entry.value);
    }
    return {};
  }
  Result<> flush() override {
    auto state = state_;
    auto& states = storage_.states_;
    if (SQ_PLANTED("families_flushed_apart") && !states.empty()) {
      for (const auto family : {Family::kHistory, Family::kRecordHistory})
        state[static_cast<std::size_t>(family)] = states.back()[static_cast<std::size_t>(family)];
    }
    states.push_back(std::move(state));
    if (states.size() > MapKvStorage::kStatesMax) states.erase(states.begin());
    return {};
  }
  Result<std::unique_ptr<KvExport>> export_files() override {
    SQ_TRY(flush());
    return std::unique_ptr<KvExport>(std::make_unique<MapExport>(storage_.states_.back()));
  }
  std::uint64_t memory_bytes() const override {
    std::uint64_t bytes = 0;
    for (const auto& table : state_)
      bytes += table->chunks.size() * kChunkEntries * sizeof(MapEntry);
    return bytes;
  }

 private:
  std::shared_ptr<const MapTable>& table(Family family) {
    return state_[static_cast<std::size_t>(family)];
  }

  MapKvStorage& storage_;
  State state_;
};

class MapImport : public KvFactory::Import {
 public:
  explicit MapImport(MapKvStorage& storage) : storage_(storage) {}

  Result<> put(const std::string& name, std::uint64_t offset, Bytes bytes) override {
    auto& file = files_[name];
    if (offset > file.size()) return Error{Code::kInvalid, "gap in imported file " + name};
    file.resize(std::max<std::size_t>(file.size(), offset + bytes.size()));
    std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
  Result<std::unique_ptr<Kv>> finish() override {
    std::array<MapTable, kFamilies> tables;
    for (const auto& [name, bytes] : files_) {
      Reader in(bytes);
      const auto family = in.get<std::uint8_t>();
      if (family >= kFamilies) in.fail();
      while (in.ok() && in.left() > 0) {
        const auto key = in.get_sized();
        const auto value = in.get_sized();
        if (in.ok()) tables[family].put(key, value);
      }
      if (!in.finished()) return Error{Code::kCorrupt, "index: cannot decode file " + name};
    }
    State state;
    for (std::size_t i = 0; i < kFamilies; ++i)
      state[i] = std::make_shared<const MapTable>(std::move(tables[i]));
    storage_.states_.assign(1, state);
    return std::unique_ptr<Kv>(std::make_unique<MapKv>(storage_, std::move(state)));
  }

 private:
  MapKvStorage& storage_;
  std::map<std::string, ByteVector> files_;
};

MapKvStorage::MapKvStorage() = default;
MapKvStorage::~MapKvStorage() = default;

void MapKvStorage::crash(std::size_t count) {
  SQ_CHECK(count <= states_.size());
  states_.resize(count);
}

Result<std::unique_ptr<Kv>> MapKvFactory::open_local() {
  if (storage_.states_.empty()) return Error{Code::kNotFound, "no local index"};
  return std::unique_ptr<Kv>(std::make_unique<MapKv>(storage_, storage_.states_.back()));
}

Result<std::unique_ptr<Kv>> MapKvFactory::create_empty() {
  storage_.states_.clear();
  return std::unique_ptr<Kv>(std::make_unique<MapKv>(storage_, empty_state()));
}

Result<std::unique_ptr<KvFactory::Import>> MapKvFactory::import_files() {
  storage_.states_.clear();
  return std::unique_ptr<Import>(std::make_unique<MapImport>(storage_));
}

}  // namespace square::index
