#include "index/rocks_kv.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/metadata.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <map>

#include "codec/checksum.hpp"

namespace square::index {

struct RocksKvFactory::Shared {
  std::string folder;
  RocksOptions options;
  std::unique_ptr<rocksdb::Env> memory;  // with in_memory
  rocksdb::Env* env = rocksdb::Env::Default();
};

namespace {

using Shared = RocksKvFactory::Shared;

// The one door for RocksDB's errors. A full file system is an I/O error here: kNoSpace is the
// pool's, which cleaning brings room to.
Error to_error(const rocksdb::Status& status, std::string_view what) {
  auto code = Code::kIo;
  if (status.IsNotFound() || status.IsPathNotFound()) code = Code::kNotFound;
  if (status.IsCorruption()) code = Code::kCorrupt;
  if (status.IsNotSupported()) code = Code::kUnsupported;
  if (status.IsBusy() || status.IsTryAgain()) code = Code::kBusy;
  return Error{code, std::string(what) + ": " + status.ToString()};
}
Result<> to_result(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return {};
  return to_error(status, what);
}

rocksdb::Slice slice(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
Bytes bytes_of(const rocksdb::Slice& s) {
  return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}

std::string hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const auto byte : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

// RocksDB's diary is not wanted: what matters comes back as a status.
class NoLog : public rocksdb::Logger {
 public:
  NoLog() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

constexpr std::array<const char*, kFamilies> kFamilyNames{
    "default", "present", "history", "records", "record_history", "stripes", "segments"};

rocksdb::DBOptions db_options(const Shared& shared, bool create) {
  rocksdb::DBOptions options;
  options.env = shared.env;
  options.create_if_missing = create;
  options.create_missing_column_families = create;
  options.error_if_exists = create;
  options.atomic_flush = true;
  options.avoid_flush_during_shutdown = true;  // durable is what flush() was called for
  options.max_background_jobs = 2;
  options.max_open_files = shared.options.open_files;
  options.max_file_opening_threads = 1;
  options.info_log = std::make_shared<NoLog>();
  options.max_manifest_file_size = 4u << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.bytes_per_sync = 1u << 20;
  return options;
}

rocksdb::ColumnFamilyOptions family_options(const Shared& shared,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.block_size = 8u << 10;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));

  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  // The write buffer manager decides when to flush, over all families: no family alone.
  options.write_buffer_size =
      shared.options.in_memory ? std::size_t{1} << 30 : shared.options.memtable_bytes;
  options.arena_block_size = 256u << 10;
  options.target_file_size_base = 16u << 20;
  options.max_bytes_for_level_base = 64u << 20;
  const auto known = rocksdb::GetSupportedCompressions();
  const bool lz4 = std::find(known.begin(), known.end(), rocksdb::kLZ4Compression) != known.end();
  options.compression = lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  if (shared.options.in_memory) options.disable_auto_compactions = true;
  return options;
}

class RocksIterator : public KvIterator {
 public:
  explicit RocksIterator(std::unique_ptr<rocksdb::Iterator> iterator)
      : iterator_(std::move(iterator)) {}
  void seek(Bytes key) override { iterator_->Seek(slice(key)); }
  void seek_for_prev(Bytes key) override { iterator_->SeekForPrev(slice(key)); }
  void next() override { iterator_->Next(); }
  void prev() override { iterator_->Prev(); }
  bool valid() const override { return iterator_->Valid(); }
  Bytes key() const override { return bytes_of(iterator_->key()); }
  Bytes value() const override { return bytes_of(iterator_->value()); }
  Result<> status() const override { return to_result(iterator_->status(), "iterate index"); }

 private:
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

struct OpenDb {
  std::shared_ptr<Shared> shared;
  std::shared_ptr<rocksdb::Cache> cache;
  std::shared_ptr<rocksdb::WriteBufferManager> buffers;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families;

  ~OpenDb() {
    for (auto* family : families)
      if (db) db->DestroyColumnFamilyHandle(family);
    if (db) db->Close().PermitUncheckedError();
  }
};

class RocksExport : public KvExport {
 public:
  explicit RocksExport(std::shared_ptr<OpenDb> open) : open_(std::move(open)) {}
  ~RocksExport() override {
    if (held_) open_->db->EnableFileDeletions(/*force=*/false).PermitUncheckedError();
  }

  Result<> collect() {
    SQ_TRY(to_result(open_->db->DisableFileDeletions(), "hold index files"));
    held_ = true;
    rocksdb::LiveFilesStorageInfoOptions wanted;
    std::vector<rocksdb::LiveFileStorageInfo> live;
    SQ_TRY(to_result(open_->db->GetLiveFilesStorageInfo(wanted, &live), "list index files"));
    SQ_TRY(auto keys, table_keys());
    for (const auto& file : live) {
      if (file.file_type == rocksdb::kTableFile) {
        auto& key = keys[file.relative_filename];
        if (key.empty()) {
          SQ_TRY(key, ask_table(file.relative_filename));
        }
        files_.push_back(
            {file.relative_filename, key + "-" + std::to_string(file.size), file.size});
      } else if (file.file_type == rocksdb::kCurrentFile ||
                 file.file_type == rocksdb::kDescriptorFile) {
        SQ_TRY(add_small(file));
      }
    }
    return {};
  }

  const std::vector<KvFile>& files() const override { return files_; }
  Result<Buffer> read(const KvFile& file, std::uint64_t offset, std::uint32_t size) override {
    if (offset > file.size_bytes || size > file.size_bytes - offset)
      return Error{Code::kInvalid, "read past the end of " + file.name};
    const auto kept = small_.find(file.name);
    if (kept != small_.end()) return Buffer::copy_of(as_bytes(kept->second).subspan(offset, size));
    return read_file(file.name, offset, size);
  }

 private:
  // A table's identity lies inside it: the session of the process that wrote it and its number
  // there. It stays the same in another folder, and no other process can repeat it.
  Result<std::map<std::string, std::string>> table_keys() {
    std::map<std::string, std::string> keys;
    for (auto* family : open_->families) {
      rocksdb::TablePropertiesCollection tables;
      SQ_TRY(to_result(open_->db->GetPropertiesOfAllTables(family, &tables), "index tables"));
      for (const auto& [path, table] : tables)
        keys[path.substr(path.rfind('/') + 1)] = identity_of(*table);
    }
    return keys;
  }
  static std::string identity_of(const rocksdb::TableProperties& table) {
    return table.db_session_id + "-" + std::to_string(table.orig_file_number);
  }
  // A compaction may have replaced a file since it was listed. It is still there, for files are
  // held.
  Result<std::string> ask_table(const std::string& name) {
    rocksdb::Options options;
    options.env = open_->shared->env;
    rocksdb::SstFileReader reader(options);
    SQ_TRY(to_result(reader.Open(open_->shared->folder + "/" + name), "identity of " + name));
    return identity_of(*reader.GetTableProperties());
  }
  Result<> add_small(const rocksdb::LiveFileStorageInfo& file) {
    auto content = file.replacement_contents;
    if (content.empty()) {
      SQ_TRY(auto bytes,
             read_file(file.relative_filename, 0, static_cast<std::uint32_t>(file.size)));
      content = std::string(as_text(bytes.bytes()));
    }
    files_.push_back({file.relative_filename, "hash-" + hex(codec::checksum128(as_bytes(content))),
                      content.size()});
    small_[file.relative_filename] = std::move(content);
    return {};
  }
  Result<Buffer> read_file(const std::string& name, std::uint64_t offset, std::uint32_t size) {
    auto& file = opened_[name];
    if (!file) {
      const auto path = open_->shared->folder + "/" + name;
      SQ_TRY(to_result(open_->shared->env->NewRandomAccessFile(path, &file, {}), "open " + path));
    }
    auto buffer = Buffer::allocate(size);
    rocksdb::Slice got;
    auto* scratch = reinterpret_cast<char*>(buffer.data());
    SQ_TRY(to_result(file->Read(offset, size, &got, scratch), "read " + name));
    if (got.size() != size) return Error{Code::kIo, "index file " + name + " is too short"};
    if (got.data() != scratch && size > 0) std::memcpy(scratch, got.data(), size);
    return buffer;
  }

  std::shared_ptr<OpenDb> open_;
  bool held_ = false;
  std::vector<KvFile> files_;
  std::map<std::string, std::string> small_;
  std::map<std::string, std::unique_ptr<rocksdb::RandomAccessFile>> opened_;
};

class RocksKv : public Kv {
 public:
  explicit RocksKv(std::shared_ptr<OpenDb> open) : open_(std::move(open)) {}

  Result<std::optional<ByteVector>> get(Family family, Bytes key) override {
    rocksdb::PinnableSlice value;
    const auto status = open_->db->Get({}, handle(family), slice(key), &value);
    if (status.IsNotFound()) return std::optional<ByteVector>();
    if (!status.ok()) return to_error(status, "read index");
    const auto bytes = bytes_of(value);
    return std::optional(ByteVector(bytes.begin(), bytes.end()));
  }
  std::unique_ptr<KvIterator> iterate(Family family) override {
    return std::make_unique<RocksIterator>(
        std::unique_ptr<rocksdb::Iterator>(open_->db->NewIterator({}, handle(family))));
  }
  Result<> write(const KvBatch& batch) override {
    rocksdb::WriteBatch out;
    for (const auto& entry : batch.entries()) {
      const auto status = entry.erase
                              ? out.Delete(handle(entry.family), slice(entry.key))
                              : out.Put(handle(entry.family), slice(entry.key), slice(entry.value));
      SQ_TRY(to_result(status, "build index batch"));
    }
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    return to_result(open_->db->Write(options, &out), "write index");
  }
  Result<> flush() override {
    return to_result(open_->db->Flush(rocksdb::FlushOptions(), open_->families), "flush index");
  }
  Result<std::unique_ptr<KvExport>> export_files() override {
    SQ_TRY(flush());
    auto files = std::make_unique<RocksExport>(open_);
    SQ_TRY(files->collect());
    return std::unique_ptr<KvExport>(std::move(files));
  }
  std::uint64_t memory_bytes() const override {
    return open_->cache->GetUsage() + open_->buffers->memory_usage();
  }

 private:
  rocksdb::ColumnFamilyHandle* handle(Family family) {
    return open_->families[static_cast<std::size_t>(family)];
  }
  std::shared_ptr<OpenDb> open_;
};

Result<std::unique_ptr<Kv>> open_db(std::shared_ptr<Shared> shared, bool create) {
  auto open = std::make_shared<OpenDb>();
  open->shared = shared;
  open->cache = rocksdb::NewLRUCache(shared->options.block_cache_bytes, /*num_shard_bits=*/2);
  const auto budget = shared->options.in_memory ? 0 : shared->options.memtable_bytes;
  open->buffers = std::make_shared<rocksdb::WriteBufferManager>(budget);
  auto options = db_options(*shared, create);
  options.write_buffer_manager = open->buffers;
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const auto* name : kFamilyNames)
    families.emplace_back(name, family_options(*shared, open->cache));
  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::Open(options, shared->folder, families, &open->families, &db);
  open->db.reset(db);
  if (!status.ok()) return to_error(status, "open index in " + shared->folder);
  return std::unique_ptr<Kv>(std::make_unique<RocksKv>(std::move(open)));
}

// The folder, with its parents, and nothing in it.
Result<> clear_folder(Shared& shared) {
  for (auto at = shared.folder.find('/', 1); at != std::string::npos;
       at = shared.folder.find('/', at + 1)) {
    SQ_TRY(to_result(shared.env->CreateDirIfMissing(shared.folder.substr(0, at)), "make folder"));
  }
  SQ_TRY(to_result(shared.env->CreateDirIfMissing(shared.folder), "make " + shared.folder));
  std::vector<std::string> names;
  SQ_TRY(to_result(shared.env->GetChildren(shared.folder, &names), "list " + shared.folder));
  for (const auto& name : names) {
    if (name == "." || name == "..") continue;
    SQ_TRY(to_result(shared.env->DeleteFile(shared.folder + "/" + name), "remove " + name));
  }
  return {};
}

class RocksImport : public KvFactory::Import {
 public:
  explicit RocksImport(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Result<> put(const std::string& name, std::uint64_t offset, Bytes bytes) override {
    if (name.empty() || name.find('/') != std::string::npos)
      return Error{Code::kInvalid, "name of an imported file: " + name};
    // Only CURRENT makes the folder a database: it comes last, when everything else is durable.
    if (name == kCurrent) {
      if (offset != current_.size())
        return Error{Code::kInvalid, "imported file " + name + " must be put from front to back"};
      current_.append(as_text(bytes));
      return {};
    }
    auto& file = files_[name];
    if (!file.writer) {
      const auto path = shared_->folder + "/" + name;
      SQ_TRY(to_result(shared_->env->NewWritableFile(path, &file.writer, {}), "create " + path));
    }
    if (offset != file.size)
      return Error{Code::kInvalid, "imported file " + name + " must be put from front to back"};
    SQ_TRY(to_result(file.writer->Append(slice(bytes)), "write " + name));
    file.size += bytes.size();
    return {};
  }
  Result<std::unique_ptr<Kv>> finish() override {
    for (auto& [name, file] : files_) {
      SQ_TRY(to_result(file.writer->Sync(), "sync " + name));
      SQ_TRY(to_result(file.writer->Close(), "close " + name));
    }
    files_.clear();
    if (!current_.empty()) {
      SQ_TRY(sync_folder());
      const auto path = shared_->folder + "/" + kCurrent;
      SQ_TRY(to_result(rocksdb::WriteStringToFile(shared_->env, current_, path, true),
                       "write " + path));
    }
    auto kv = open_db(shared_, false);
    // Without its CURRENT the folder is no database: the files are not what an export gave.
    if (!kv.ok() && kv.code() != Code::kIo)
      return Error{Code::kCorrupt, std::move(kv).error().message};
    return kv;
  }

 private:
  struct File {
    std::unique_ptr<rocksdb::WritableFile> writer;
    std::uint64_t size = 0;
  };
  Result<> sync_folder() {
    std::unique_ptr<rocksdb::Directory> folder;
    SQ_TRY(to_result(shared_->env->NewDirectory(shared_->folder, &folder), "open the folder"));
    return to_result(folder->Fsync(), "sync the folder");
  }

  static constexpr const char* kCurrent = "CURRENT";
  std::shared_ptr<Shared> shared_;
  std::map<std::string, File> files_;
  std::string current_;
};

}  // namespace

RocksKvFactory::RocksKvFactory(std::string folder, RocksOptions options)
    : shared_(std::make_shared<Shared>()) {
  shared_->folder = std::move(folder);
  shared_->options = options;
  if (!options.in_memory) return;
  shared_->memory.reset(rocksdb::NewMemEnv(rocksdb::Env::Default()));
  shared_->env = shared_->memory.get();
}
RocksKvFactory::~RocksKvFactory() = default;

Result<std::unique_ptr<Kv>> RocksKvFactory::open_local() {
  auto kv = open_db(shared_, false);
  if (!kv.ok()) return Error{Code::kNotFound, std::move(kv).error().message};
  return kv;
}

Result<std::unique_ptr<Kv>> RocksKvFactory::create_empty() {
  SQ_TRY(clear_folder(*shared_));
  return open_db(shared_, true);
}

Result<std::unique_ptr<KvFactory::Import>> RocksKvFactory::import_files() {
  SQ_TRY(clear_folder(*shared_));
  return std::unique_ptr<Import>(std::make_unique<RocksImport>(shared_));
}

}  // namespace square::index
