// One suite for every Kv: what the index may rely on.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "index/map_kv.hpp"
#include "index/rocks_kv.hpp"

using namespace square;
using namespace square::index;

namespace {

// A folder that goes with the test.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    auto name = (std::filesystem::temp_directory_path() / "square-kv-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

// A factory with what it stands on. Dropping the Kv is the crash.
struct Store {
  virtual ~Store() = default;
  virtual KvFactory& factory() = 0;
};

struct MapStore : Store {
  MapKvStorage storage;
  MapKvFactory factory_{storage};
  KvFactory& factory() override { return factory_; }
};

struct RocksStore : Store {
  TemporaryFolder folder;
  RocksKvFactory factory_;
  explicit RocksStore(bool in_memory)
      : factory_((folder.path / "deep" / "index").string(), {.in_memory = in_memory}) {}
  KvFactory& factory() override { return factory_; }
};

std::unique_ptr<Store> make_store(const std::string& kind) {
  if (kind == "map") return std::make_unique<MapStore>();
  return std::make_unique<RocksStore>(kind == "rocksdb in memory");
}

template <class T>
T must(Result<T> result) {
  if (!result.ok()) FAIL(result.error().message);
  return std::move(result).value();
}
void must(const Result<>& result) {
  if (!result.ok()) FAIL(result.error().message);
}

void put(Kv& kv, Family family, const std::string& key, const std::string& value) {
  KvBatch batch;
  batch.put(family, as_bytes(key), as_bytes(value));
  must(kv.write(batch));
}

std::string get(Kv& kv, Family family, const std::string& key) {
  const auto value = must(kv.get(family, as_bytes(key)));
  return value ? std::string(as_text(*value)) : "-";
}

std::string all(Kv& kv, Family family) {
  std::string text;
  auto at = kv.iterate(family);
  for (at->seek({}); at->valid(); at->next())
    text += std::string(as_text(at->key())) + "=" + std::string(as_text(at->value())) + " ";
  must(at->status());
  return text;
}

ByteVector read_all(KvExport& files, const KvFile& file) {
  ByteVector bytes;
  while (bytes.size() < file.size_bytes) {
    const auto size = std::min<std::uint64_t>(1000, file.size_bytes - bytes.size());
    const auto part = must(files.read(file, bytes.size(), static_cast<std::uint32_t>(size)));
    bytes.insert(bytes.end(), part.bytes().begin(), part.bytes().end());
  }
  return bytes;
}

std::unique_ptr<Kv> import(KvFactory& factory, KvExport& files) {
  auto import = must(factory.import_files());
  for (const auto& file : files.files()) {
    const auto bytes = read_all(files, file);
    const auto half = bytes.size() / 2;
    must(import->put(file.name, 0, Bytes(bytes).first(half)));
    must(import->put(file.name, half, Bytes(bytes).subspan(half)));
  }
  return must(import->finish());
}

}  // namespace

TEST_CASE("a batch is visible at once, over all families, and its last word on a key counts") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  auto kv = must(store->factory().create_empty());
  KvBatch batch;
  batch.put(Family::kMeta, as_bytes("a"), as_bytes("1"));
  batch.put(Family::kHistory, as_bytes("a"), as_bytes("2"));
  batch.put(Family::kMeta, as_bytes("a"), as_bytes("3"));
  batch.put(Family::kMeta, as_bytes("b"), as_bytes(""));
  batch.put(Family::kMeta, as_bytes("c"), as_bytes("4"));
  batch.erase(Family::kMeta, as_bytes("c"));
  must(kv->write(batch));
  CHECK(all(*kv, Family::kMeta) == "a=3 b= ");
  CHECK(all(*kv, Family::kHistory) == "a=2 ");
  CHECK(all(*kv, Family::kPresent).empty());
  CHECK(get(*kv, Family::kMeta, "a") == "3");
  CHECK(get(*kv, Family::kMeta, "b").empty());
  CHECK(get(*kv, Family::kMeta, "c") == "-");
  CHECK(get(*kv, Family::kRecords, "a") == "-");
}

TEST_CASE("iterators seek to both sides, walk both ways, and keep the state of their moment") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  auto kv = must(store->factory().create_empty());
  for (const auto* key : {"b", "d", "f", "\xff"}) put(*kv, Family::kPresent, key, key);
  auto at = kv->iterate(Family::kPresent);
  const auto key = [&] { return at->valid() ? std::string(as_text(at->key())) : "-"; };
  at->seek(as_bytes("d"));
  CHECK(key() == "d");
  at->seek(as_bytes("c"));
  CHECK(key() == "d");
  at->next();
  CHECK(key() == "f");
  at->prev();
  at->prev();
  CHECK(key() == "b");
  at->prev();
  CHECK(key() == "-");
  at->seek_for_prev(as_bytes("e"));
  CHECK(key() == "d");
  at->seek_for_prev(as_bytes("f"));
  CHECK(key() == "f");
  at->seek_for_prev(as_bytes("a"));
  CHECK(key() == "-");
  at->seek_for_prev(as_bytes("\xff\xff"));
  CHECK(key() == "\xff");
  at->seek(as_bytes("\xff\xff"));
  CHECK(key() == "-");
  must(at->status());
  at->seek(as_bytes("b"));
  put(*kv, Family::kPresent, "c", "new");
  KvBatch gone;
  gone.erase(Family::kPresent, as_bytes("d"));
  must(kv->write(gone));
  at->next();
  CHECK(key() == "d");
  CHECK(all(*kv, Family::kPresent) == "b=b c=new f=f \xff=\xff ");
}

TEST_CASE("after a crash the last flush shows, all families of one moment") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  CHECK(store->factory().open_local().code() == Code::kNotFound);
  auto kv = must(store->factory().create_empty());
  KvBatch batch;
  batch.put(Family::kMeta, as_bytes("at"), as_bytes("1"));
  batch.put(Family::kHistory, as_bytes("at"), as_bytes("1"));
  must(kv->write(batch));
  must(kv->flush());
  put(*kv, Family::kMeta, "at", "2");
  put(*kv, Family::kSegments, "at", "2");
  kv.reset();
  kv = must(store->factory().open_local());
  CHECK(all(*kv, Family::kMeta) == "at=1 ");
  CHECK(all(*kv, Family::kHistory) == "at=1 ");
  CHECK(all(*kv, Family::kSegments).empty());
  put(*kv, Family::kMeta, "at", "3");
  must(kv->flush());
  kv.reset();
  kv = must(store->factory().open_local());
  CHECK(all(*kv, Family::kMeta) == "at=3 ");
  kv.reset();
  kv = must(store->factory().create_empty());
  CHECK(all(*kv, Family::kMeta).empty());
}

TEST_CASE("an export imports elsewhere as the same state, whatever was written meanwhile") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  auto target = make_store(kind);
  auto kv = must(store->factory().create_empty());
  for (int i = 0; i < 2000; ++i) {
    const auto text = std::to_string(i);
    put(*kv, Family::kPresent, text, "value " + text);
    if (i % 7 == 0) put(*kv, Family::kStripes, text, text);
  }
  const auto present = all(*kv, Family::kPresent), stripes = all(*kv, Family::kStripes);
  auto files = must(kv->export_files());
  for (int i = 0; i < 2000; i += 2) put(*kv, Family::kPresent, std::to_string(i), "later");
  must(kv->flush());
  CHECK(files->read(files->files()[0], files->files()[0].size_bytes, 1).code() == Code::kInvalid);
  auto copy = import(target->factory(), *files);
  files.reset();
  CHECK(all(*copy, Family::kPresent) == present);
  CHECK(all(*copy, Family::kStripes) == stripes);
  copy.reset();
  copy = must(target->factory().open_local());
  CHECK(all(*copy, Family::kPresent) == present);
}

TEST_CASE("equal content keys mean equal bytes, also after an import") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  auto target = make_store(kind);
  std::map<std::string, ByteVector> known;
  std::size_t repeated = 0;
  const auto note = [&](KvExport& files) {
    for (const auto& file : files.files()) {
      const auto bytes = read_all(files, file);
      const auto [entry, fresh] = known.emplace(file.content_key, bytes);
      repeated += !fresh;
      REQUIRE(entry->second == bytes);
    }
  };
  auto kv = must(store->factory().create_empty());
  std::mt19937_64 random(7);
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 100; ++i)
      put(*kv, Family::kStripes, std::to_string(round * 1000 + i), std::to_string(random()));
    if (round == 0)
      for (int i = 0; i < 1000; ++i) put(*kv, Family::kRecords, std::to_string(i), "same");
    note(*must(kv->export_files()));
  }
  auto files = must(kv->export_files());
  note(*files);
  auto copy = import(target->factory(), *files);
  put(*copy, Family::kMeta, "another", "branch");
  put(*kv, Family::kMeta, "this", "branch");
  note(*must(copy->export_files()));
  note(*must(kv->export_files()));
  CHECK(repeated > 10);
}

TEST_CASE("an export beside compactions knows every file that it lists") {
  // Each flush makes a table, every few of them start a compaction, and exports go on all the time.
  RocksStore store(false);
  auto kv = must(store.factory().create_empty());
  std::atomic<bool> over{false};
  std::string failed;
  std::thread exporter([&] {
    while (!over && failed.empty()) {
      const auto exported = kv->export_files();
      if (!exported.ok()) failed = exported.error().message;
    }
  });
  std::mt19937 random(1);
  const std::string value(100, 'v');
  for (int i = 0; i < 300; ++i) {
    KvBatch batch;
    for (int k = 0; k < 100; ++k)
      batch.put(Family::kPresent, as_bytes(std::to_string(random() % 20000)), as_bytes(value));
    ignore(kv->write(batch), "the exports are what is tested");
    ignore(kv->flush(), "as above");
  }
  over = true;
  exporter.join();
  CHECK(failed == "");
}

TEST_CASE("an import of files that are no index is refused") {
  const std::string kind = GENERATE(as<std::string>{}, "map", "rocksdb", "rocksdb in memory");
  CAPTURE(kind);
  auto store = make_store(kind);
  auto import = must(store->factory().import_files());
  must(import->put("CURRENT", 0, as_bytes("garbage that is no index")));
  CHECK(import->put("CURRENT", 1000, as_bytes("gap")).code() == Code::kInvalid);
  CHECK_FALSE(import->finish().ok());
  CHECK(store->factory().open_local().code() == Code::kNotFound);
}

TEST_CASE("a file of the RocksDB index that is damaged is an error, not an answer") {
  RocksStore store(false);
  auto kv = must(store.factory().create_empty());
  for (int i = 0; i < 5000; ++i)
    put(*kv, Family::kPresent, std::to_string(i), std::string(50, 'v') + std::to_string(i * 7919));
  must(kv->flush());
  kv.reset();
  for (const auto& entry : std::filesystem::directory_iterator(store.folder.path / "deep/index")) {
    if (entry.path().extension() != ".sst") continue;
    std::FILE* file = std::fopen(entry.path().c_str(), "r+b");
    REQUIRE(std::fseek(file, static_cast<long>(entry.file_size() / 3), SEEK_SET) == 0);
    std::fwrite("damage", 6, 1, file);
    std::fclose(file);
  }
  auto opened = store.factory().open_local();
  if (!opened.ok()) {
    CHECK(opened.code() == Code::kNotFound);
    return;
  }
  auto at = (*opened)->iterate(Family::kPresent);
  int seen = 0;
  for (at->seek({}); at->valid(); at->next()) ++seen;
  CHECK(seen < 5000);
  CHECK(at->status().code() == Code::kCorrupt);
}

TEST_CASE("the map falls back to any earlier flush, or to nothing") {
  MapStore store;
  auto kv = must(store.factory().create_empty());
  for (int i = 1; i <= 5; ++i) {
    put(*kv, Family::kMeta, "at", std::to_string(i));
    must(kv->flush());
  }
  kv.reset();
  REQUIRE(store.storage.states() == 5);
  store.storage.crash(3);
  kv = must(store.factory().open_local());
  CHECK(get(*kv, Family::kMeta, "at") == "3");
  kv.reset();
  store.storage.crash(0);
  CHECK(store.factory().open_local().code() == Code::kNotFound);
}

TEST_CASE("the map keeps the order of a plain map through many random changes") {
  const auto seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  MapStore store;
  auto kv = must(store.factory().create_empty());
  std::map<std::string, std::string> model;
  std::mt19937 random(seed);
  for (int i = 0; i < 20000; ++i) {
    const auto key = std::to_string(random() % 3000);
    KvBatch batch;
    if (random() % 5 < 2) {
      batch.erase(Family::kPresent, as_bytes(key));
      model.erase(key);
    } else {
      batch.put(Family::kPresent, as_bytes(key), as_bytes(std::to_string(i)));
      model[key] = std::to_string(i);
    }
    must(kv->write(batch));
    if (random() % 500 == 0) must(kv->flush());
  }
  std::string wanted;
  for (const auto& [key, value] : model) wanted += key + "=" + value + " ";
  CHECK(all(*kv, Family::kPresent) == wanted);
  for (int i = 0; i < 500; ++i) {
    const auto key = std::to_string(random() % 3500);
    auto at = kv->iterate(Family::kPresent);
    at->seek(as_bytes(key));
    const auto next = model.lower_bound(key);
    REQUIRE(at->valid() == (next != model.end()));
    if (at->valid()) REQUIRE(as_text(at->key()) == next->first);
    at->seek_for_prev(as_bytes(key));
    const auto behind = model.upper_bound(key);
    REQUIRE(at->valid() == (behind != model.begin()));
    if (at->valid()) REQUIRE(as_text(at->key()) == std::prev(behind)->first);
  }
}
