#pragma once
// An ordered key-value store with column families, atomic batches and an *atomic flush of all
// families*: a working copy that may burn. After a crash it shows the state of some earlier flush,
// all families of the same moment, or nothing; never a mixture. Two implementations pass one suite
// (tests/unit/index/kv_test.cpp): RocksDB, WAL off; and an ordered map for the simulation.
//
// Errors: kIo and kCorrupt as a rule, never kNoSpace or kUnavailable, which are the pool's.
//
// Calls are synchronous: a lookup that is in memory takes microseconds. One writer at a time.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "env/env.hpp"

namespace square::index {

enum class Family : std::uint8_t {
  kMeta = 0,  // applied positions, snapshots, versions
  kPresent = 1,
  kHistory = 2,
  kRecords = 3,
  kRecordHistory = 4,
  kStripes = 5,
  kSegments = 6,  // live bytes
};
inline constexpr std::size_t kFamilies = 7;

class KvBatch {
 public:
  void put(Family family, Bytes key, Bytes value);
  void erase(Family family, Bytes key);
  struct Entry {
    Family family;
    bool erase;
    ByteVector key, value;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

 private:
  std::vector<Entry> entries_;
};

// Stands on an entry or at the end. Shows the state of the moment it was made.
class KvIterator {
 public:
  virtual ~KvIterator() = default;
  virtual void seek(Bytes key) = 0;           // first entry at or after
  virtual void seek_for_prev(Bytes key) = 0;  // last entry at or before
  virtual void next() = 0;
  virtual void prev() = 0;
  virtual bool valid() const = 0;
  virtual Bytes key() const = 0;
  virtual Bytes value() const = 0;
  virtual Result<> status() const = 0;  // after valid() turned false: end, or an error
};

struct KvFile {
  std::string name;         // inside the export
  std::string content_key;  // equal only when the bytes are equal, for the life of the pool
  std::uint64_t size_bytes = 0;
};

// Files of one flushed state, held until destroyed.
class KvExport {
 public:
  virtual ~KvExport() = default;
  virtual const std::vector<KvFile>& files() const = 0;
  virtual Result<Buffer> read(const KvFile& file, std::uint64_t offset, std::uint32_t size) = 0;
};

class Kv {
 public:
  virtual ~Kv() = default;
  virtual Result<std::optional<ByteVector>> get(Family family, Bytes key) = 0;
  virtual std::unique_ptr<KvIterator> iterate(Family family) = 0;
  // All or nothing, visible at once, durable only with the next flush.
  virtual Result<> write(const KvBatch& batch) = 0;
  // All families, atomically. May run on a helper thread beside get() and iterate().
  virtual Result<> flush() = 0;
  // A flush, and the files that hold that state.
  virtual Result<std::unique_ptr<KvExport>> export_files() = 0;
  virtual std::uint64_t memory_bytes() const = 0;
};

// Opens and replaces working copies.
class KvFactory {
 public:
  virtual ~KvFactory() = default;
  // The local working copy. Errors: kNotFound when there is none or it is unusable.
  virtual Result<std::unique_ptr<Kv>> open_local() = 0;
  // Throws away what is there and starts empty.
  virtual Result<std::unique_ptr<Kv>> create_empty() = 0;
  // Throws away what is there; the caller puts each file, then finish() opens it.
  class Import {
   public:
    virtual ~Import() = default;
    virtual Result<> put(const std::string& name, std::uint64_t offset, Bytes bytes) = 0;
    virtual Result<std::unique_ptr<Kv>> finish() = 0;
  };
  virtual Result<std::unique_ptr<Import>> import_files() = 0;
};

}  // namespace square::index
