#pragma once
// What a volume may contain, sector by sector, given what its clients were told. A sector holds one
// of the tokens that could be there: the last acknowledged write, what is in flight, and what ended
// with an unknown outcome. A read must show one of them, and from then on it is that one: nothing
// flickers.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/buffer.hpp"

namespace square::sim {

inline constexpr std::uint32_t kSectorBytes = 512;

// The bytes of a sector with that token; 0 is all zeros.
void fill_sector(std::uint64_t token, MutableBytes sector);

// What a client sends to write sectors [first, first + count): the i-th has token + i.
struct ClientData {
  Buffer data;
  std::vector<std::uint64_t> ingest;
};
ClientData client_data(std::uint64_t first, std::uint64_t count, std::uint64_t token);

class VolumeModel {
 public:
  explicit VolumeModel(std::uint64_t sectors) : sectors_(sectors, Sector{Entry{}}) {}

  std::uint64_t sectors() const { return sectors_.size(); }
  void grow(std::uint64_t sectors) { sectors_.resize(sectors, Sector{Entry{}}); }

  // A write (or zeroing: token 0) of [first, first + count) begins; `now` only grows.
  void begin(std::uint64_t first, std::uint64_t count, std::uint64_t token, std::uint64_t now);
  enum class Outcome : std::uint8_t { kDone, kNotDone, kUnknown };
  void end(std::uint64_t first, std::uint64_t count, std::uint64_t token, std::uint64_t began,
           std::uint64_t now, Outcome outcome);

  // A read begins; its check() (or end_read, when it gave no bytes) must follow.
  void begin_read(std::uint64_t now) { reading_.insert(now); }
  void end_read(std::uint64_t began) { reading_.erase(reading_.find(began)); }
  // Nothing, or what is wrong with these bytes, which were read between `began` and `now`.
  std::optional<std::string> check(std::uint64_t first, Bytes bytes, std::uint64_t began,
                                   std::uint64_t now);

  // Everything in flight is now of unknown outcome: its process is gone.
  void crashed(std::uint64_t now);

 private:
  static constexpr std::uint64_t kNever = ~0ull;
  struct Entry {
    std::uint64_t token = 0;
    std::uint64_t began = 0;
    std::uint64_t ended = 0;          // kNever while it runs
    std::uint64_t replaced = kNever;  // a read that began earlier may still show it
  };
  using Sector = std::vector<Entry>;
  void forget(std::size_t sector);
  // For the message: which of the sector's earlier contents these bytes are.
  std::string describe(std::size_t sector, Bytes bytes) const;

  std::vector<Sector> sectors_;
  struct Past {
    std::size_t sector;
    Entry entry;
  };
  std::vector<Past> past_;                // what sectors can no longer show, for messages
  std::multiset<std::uint64_t> reading_;  // when the reads in flight began
};

}  // namespace square::sim
