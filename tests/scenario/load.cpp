// Writers whose acknowledged writes can be checked, by this process or a later one.
//
//   square-load run    --config FILE --volume NAME --log FILE [--writers N] [--rate WRITES_PER_S]
//   square-load verify --config FILE --volume NAME --log FILE
//
// `run` writes until SIGTERM or SIGINT. Each write is in the log before it is sent, and again when
// it was acknowledged; a later run goes on with the same log. `verify` reads every block that the
// log names: it must hold, whole, the last acknowledged write, or one that was sent after that one
// and not refused. Both print one JSON line. Exit 1: a write was refused, or a block was wrong.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <span>
#include <thread>
#include <vector>

#include "client/client.hpp"

namespace square {

namespace {

constexpr std::uint32_t kBlocksMax = 96;  // of one write; from 64 on it gets a stripe of its own

enum class Event : std::uint32_t { kSent = 1, kAcknowledged = 2 };

// One entry of the log, as it lies in the file.
struct Entry {
  Event event;
  std::uint32_t blocks;
  std::uint64_t first_block;
  std::uint64_t token;
};
static_assert(sizeof(Entry) == 24);

std::atomic<bool> stopping{false};

struct Arguments {
  std::string command, config, volume, log;
  unsigned writers = 32;
  unsigned rate = 0;  // writes per second of all writers; 0: as fast as they go
};

std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

// What block `block` holds after the write with that token: the token, then bytes made from both.
void fill(MutableBytes into, std::uint64_t block, std::uint64_t token) {
  auto word = token;
  for (std::size_t at = 0; at < into.size(); at += sizeof word) {
    std::memcpy(into.data() + at, &word, sizeof word);
    word = mix(word ^ (block << 20) ^ at);
  }
}

// Whole entries: one write call each, so that writers may share it.
class Log {
 public:
  static Result<Log> open(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return Error{Code::kIo, "cannot open " + path};
    return Log(fd);
  }
  Log(Log&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Log() {
    if (fd_ >= 0) ::close(fd_);
  }
  void put(const Entry& entry) const {
    SQ_CHECK(::write(fd_, &entry, sizeof entry) == sizeof entry, "the log cannot be written");
  }
  Result<std::vector<Entry>> entries() const {
    std::vector<Entry> all(static_cast<std::size_t>(lseek(fd_, 0, SEEK_END)) / sizeof(Entry));
    auto left = std::as_writable_bytes(std::span(all));
    for (off_t at = 0; !left.empty();) {
      const auto got = ::pread(fd_, left.data(), left.size(), at);
      if (got <= 0) return Error{Code::kIo, "the log cannot be read"};
      left = left.subspan(static_cast<std::size_t>(got));
      at += got;
    }
    return all;
  }

 private:
  explicit Log(int fd) : fd_(fd) {}
  int fd_;
};

struct Counts {
  std::atomic<std::uint64_t> acknowledged{0}, bytes{0}, unknown{0}, not_done{0};
  std::atomic<bool> refused{false};
};

// Keeps to blocks of its own, so that the order of writes to one block is known.
class LoadWriter {
 public:
  LoadWriter(client::Volume volume, const Log& log, Counts& counts, std::uint64_t first_block,
             std::uint64_t blocks, std::chrono::microseconds pause)
      : volume_(std::move(volume)),
        log_(log),
        counts_(counts),
        first_(first_block),
        blocks_(blocks),
        pause_(pause),
        random_(std::random_device{}()) {}

  void run() {
    using Clock = std::chrono::steady_clock;
    auto next = Clock::now() +
                std::chrono::microseconds(random_() % static_cast<unsigned>(pause_.count() + 1));
    while (!stopping && !counts_.refused) {
      if (pause_.count() > 0) std::this_thread::sleep_until(next);
      next = std::max(next + pause_, Clock::now() - pause_);
      write_one();
    }
  }

 private:
  std::uint32_t draw_length() {
    const auto kind = random_() % 64;
    const auto most = kind == 0 ? kBlocksMax : kind < 12 ? 16u : 1u;
    return static_cast<std::uint32_t>(1 + random_() % std::min<std::uint64_t>(most, blocks_));
  }

  void write_one() {
    const auto length = draw_length();
    const auto block = first_ + random_() % (blocks_ - length + 1);
    const auto token = (static_cast<std::uint64_t>(random_()) << 32) ^ random_();
    ByteVector data(length * std::size_t{kBlockBytes});
    for (std::uint32_t i = 0; i < length; ++i)
      fill(std::span(data).subspan(i * std::size_t{kBlockBytes}, kBlockBytes), block + i, token);
    log_.put({Event::kSent, length, block, token});
    const auto done = volume_.write(block * kBlockBytes, data);
    if (done.ok()) {
      log_.put({Event::kAcknowledged, length, block, token});
      ++counts_.acknowledged;
      counts_.bytes += data.size();
    } else if (done.code() == Code::kOutcomeUnknown || done.code() == Code::kCancelled) {
      ++counts_.unknown;
    } else if (done.code() == Code::kUnavailable || done.code() == Code::kTimeout) {
      ++counts_.not_done;
    } else if (!counts_.refused.exchange(true)) {
      std::fprintf(stderr, "block %llu: %s: %s\n", static_cast<unsigned long long>(block),
                   std::string(code_name(done.code())).c_str(), done.error().message.c_str());
    }
  }

  client::Volume volume_;
  const Log& log_;
  Counts& counts_;
  std::uint64_t first_, blocks_;
  std::chrono::microseconds pause_;
  std::mt19937 random_;
};

Result<bool> run_load(const Arguments& args, client::Client& client, const Log& log) {
  SQ_TRY(const auto volume, client.open(args.volume));
  const auto share = volume.info().size_bytes / kBlockBytes / args.writers;
  if (share < kBlocksMax)
    return Error{Code::kInvalid, "the volume is too small for so many writers"};
  const auto pause =
      std::chrono::microseconds(args.rate == 0 ? 0 : 1'000'000ull * args.writers / args.rate);
  Counts counts;
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < args.writers; ++i)
    threads.emplace_back(
        [&, i] { LoadWriter(volume, log, counts, i * share, share, pause).run(); });
  for (auto& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf(
      "{\"acknowledged\":%llu,\"acknowledged_bytes\":%llu,\"unknown\":%llu,"
      "\"not_done\":%llu,\"seconds\":%.3f}\n",
      static_cast<unsigned long long>(counts.acknowledged),
      static_cast<unsigned long long>(counts.bytes),
      static_cast<unsigned long long>(counts.unknown),
      static_cast<unsigned long long>(counts.not_done), took.count());
  return !counts.refused;
}

// What a block may hold, by the log. Nothing acknowledged yet: also zeros.
struct Expected {
  std::set<std::uint64_t> tokens;
  bool acknowledged = false;
};

std::map<std::uint64_t, Expected> expected_of(const std::vector<Entry>& entries) {
  std::map<std::uint64_t, Expected> blocks;
  for (const auto& entry : entries) {
    for (std::uint32_t i = 0; i < entry.blocks; ++i) {
      auto& block = blocks[entry.first_block + i];
      if (entry.event == Event::kAcknowledged) {
        block.tokens.clear();
        block.acknowledged = true;
      }
      block.tokens.insert(entry.token);
    }
  }
  return blocks;
}

bool block_holds(Bytes data, std::uint64_t block, const Expected& expected) {
  std::uint64_t token = 0;
  std::memcpy(&token, data.data(), sizeof token);
  ByteVector wanted(kBlockBytes);
  if (expected.tokens.contains(token))
    fill(wanted, block, token);
  else if (expected.acknowledged)
    return false;
  return std::memcmp(wanted.data(), data.data(), kBlockBytes) == 0;
}

Result<bool> verify_load(const Arguments& args, client::Client& client, const Log& log) {
  SQ_TRY(const auto entries, log.entries());
  SQ_TRY(auto volume, client.open(args.volume));
  const auto blocks = expected_of(entries);
  std::uint64_t acknowledged = 0, wrong = 0;
  for (const auto& entry : entries) acknowledged += entry.event == Event::kAcknowledged;
  constexpr std::uint64_t kWindowBlocks = (1u << 20) / kBlockBytes;
  ByteVector window;
  std::uint64_t window_at = 0;
  for (const auto& [block, expected] : blocks) {
    if (window.empty() || block >= window_at + kWindowBlocks) {
      window_at = block;
      const auto end = volume.info().size_bytes;
      window.resize(std::min<std::uint64_t>(1u << 20, end - block * kBlockBytes));
      SQ_TRY(volume.read(block * kBlockBytes, window));
    }
    const auto data = Bytes(window).subspan((block - window_at) * kBlockBytes, kBlockBytes);
    if (block_holds(data, block, expected)) continue;
    if (++wrong <= 10)
      std::fprintf(stderr, "block %llu does not hold what was acknowledged\n",
                   static_cast<unsigned long long>(block));
  }
  std::printf("{\"acknowledged\":%llu,\"blocks\":%zu,\"wrong\":%llu}\n",
              static_cast<unsigned long long>(acknowledged), blocks.size(),
              static_cast<unsigned long long>(wrong));
  return wrong == 0;
}

Result<bool> work(const Arguments& args) {
  SQ_TRY(const auto config, client::read_config(args.config));
  client::ClientOptions options;
  options.name = "load " + std::to_string(getpid());
  SQ_TRY(const auto client, client::Client::start(config, options));
  SQ_TRY(const auto log, Log::open(args.log));
  return args.command == "run" ? run_load(args, *client, log) : verify_load(args, *client, log);
}

std::optional<Arguments> parse(std::span<char*> words) {
  Arguments args;
  if (words.size() < 2 || words.size() % 2 != 0) return std::nullopt;
  args.command = words[1];
  for (std::size_t i = 2; i < words.size(); i += 2) {
    const std::string flag = words[i], value = words[i + 1];
    if (flag == "--config")
      args.config = value;
    else if (flag == "--volume")
      args.volume = value;
    else if (flag == "--log")
      args.log = value;
    else if (flag == "--writers")
      args.writers = static_cast<unsigned>(std::atoi(value.c_str()));
    else if (flag == "--rate")
      args.rate = static_cast<unsigned>(std::atoi(value.c_str()));
    else
      return std::nullopt;
  }
  if ((args.command != "run" && args.command != "verify") || args.writers == 0) return std::nullopt;
  return args;
}

}  // namespace

}  // namespace square

int main(int argc, char** argv) {
  const auto args = square::parse({argv, static_cast<std::size_t>(argc)});
  if (!args) {
    std::fprintf(stderr,
                 "usage: square-load run|verify --config FILE --volume NAME --log FILE "
                 "[--writers N] [--rate WRITES_PER_S]\n");
    return 2;
  }
  for (const int number : {SIGTERM, SIGINT}) signal(number, [](int) { square::stopping = true; });
  const auto good = square::work(*args);
  if (good.ok()) return *good ? 0 : 1;
  std::fprintf(stderr, "square-load: %s\n", good.error().message.c_str());
  return 1;
}
