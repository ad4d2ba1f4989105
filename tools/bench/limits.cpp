#include "bench/limits.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "bench/content.hpp"
#include "bench/usage.hpp"
#include "codec/checksum.hpp"
#include "codec/erasure.hpp"
#include "codec/seal.hpp"
#include "index/rocks_kv.hpp"

namespace square::bench {

namespace {

constexpr std::uint8_t kData = 8, kParity = 2;
constexpr std::size_t kMiB = 1u << 20;
constexpr std::size_t kStripBytes = kMiB / kData;
constexpr std::uint32_t kExtentBytes = 64u << 10;
constexpr std::uint8_t kFrameShift = 14;
constexpr int kRounds = 5;

// A file that is gone with its owner, its pages allocated as those of the disks are.
class ScratchFile {
 public:
  ScratchFile(const std::string& dir, std::uint64_t bytes) {
    std::error_code ignored;
    std::filesystem::create_directories(dir, ignored);
    const auto path = dir + "/limit";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ::unlink(path.c_str());
    if (fd_ >= 0 && ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes)) != 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }
  ScratchFile(const ScratchFile&) = delete;
  ~ScratchFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool write(Bytes bytes, std::uint64_t offset) const {
    return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(bytes.size());
  }
  bool read(MutableBytes bytes, std::uint64_t offset) const {
    return ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(bytes.size());
  }

 private:
  int fd_ = -1;
};

struct Seals {
  codec::SecretKey key;
  codec::SealId id{};
  codec::Sealer sealer{id, 1};

  codec::SealedExtent seal(const Content::Piece& piece) {
    codec::ExtentIdentity identity;
    identity.plain_bytes = static_cast<std::uint32_t>(piece.data.size());
    const Bytes content[] = {piece.data.bytes()};
    return sealer.seal(key, KeyId(1), identity, content, piece.ingest, kFrameShift).value();
  }
};

}  // namespace

double bare_seal_s(std::uint32_t bytes) {
  Content content;
  Seals seals;
  return cpu_of_call(kRounds, 2000, [&] { seals.seal(content.draw(bytes)); });
}

Result<double> bare_write_1mib_s(const Settings& settings) {
  Content content;
  Seals seals;
  const auto calls = settings.scaled(64, 2);
  const ScratchFile file(settings.dir, (kRounds + 1) * calls * (kMiB + kParity * kStripBytes));
  const codec::Erasure erasure(kData, kParity);
  auto strips = content.draw(kMiB).data;
  auto parity = Buffer::zeroed(kParity * kStripBytes);
  auto all = Buffer::zeroed(kMiB + kParity * kStripBytes);
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  for (std::size_t i = 0; i < kData; ++i) from.push_back(strips.data() + i * kStripBytes);
  for (std::size_t i = 0; i < kParity; ++i) to.push_back(parity.data() + i * kStripBytes);
  std::uint64_t offset = 0, sum = 0;
  bool wrote = true;
  const auto cost = cpu_of_call(kRounds, static_cast<int>(calls), [&] {
    for (std::size_t at = 0; at < kMiB; at += kExtentBytes) seals.seal(content.draw(kExtentBytes));
    erasure.encode(from, to, kStripBytes);
    for (std::size_t at = 0; at < all.size(); at += kStripBytes)
      sum += codec::checksum64(all.bytes().subspan(at, kStripBytes));
    wrote = wrote && file.write(all.bytes(), offset);
    offset += all.size();
  });
  if (!wrote || sum == 0) return Error{Code::kIo, "cannot write in " + settings.dir};
  return cost;
}

double bare_open_s(std::uint32_t bytes) {
  Content content;
  Seals seals;
  const auto sealed = seals.seal(content.draw(kExtentBytes));
  codec::Opener opener;
  codec::ExtentIdentity identity;
  identity.plain_bytes = kExtentBytes;
  auto out = Buffer::allocate(bytes);
  return cpu_of_call(kRounds, 1000, [&] {
    SQ_CHECK(codec::verify_stored(sealed.stored.bytes(), sealed.ref).ok());
    SQ_CHECK(
        opener.open(seals.key, KeyId(1), seals.id, sealed.stored.bytes(), identity, 0, out.bytes())
            .ok());
  });
}

Result<double> bare_put_s(const Settings& settings, std::uint64_t entries) {
  constexpr std::size_t kKeyBytes = 20, kValueBytes = 70;
  index::RocksKvFactory factory(settings.dir + "/limit-index");
  SQ_TRY(auto kv, factory.create_empty());
  Random random(1);
  ByteVector key(kKeyBytes), value(kValueBytes);
  const auto put = [&]() -> Result<> {
    const auto block = random() % entries;
    for (std::size_t i = 0; i < sizeof block; ++i)
      key[kKeyBytes - 1 - i] = static_cast<std::byte>(block >> (8 * i));
    const auto word = random();
    std::memcpy(value.data(), &word, sizeof word);
    index::KvBatch batch;
    batch.put(index::Family::kPresent, key, value);
    return kv->write(batch);
  };
  for (std::uint64_t i = 0; i < entries / 4; ++i) SQ_TRY(put());
  const auto began = usage_now();
  for (std::uint64_t i = 0; i < entries; ++i) SQ_TRY(put());
  SQ_TRY(kv->flush());
  return (usage_now() - began).cpu_s / static_cast<double>(entries);
}

Result<double> bare_rebuild_1mib_s(const Settings& settings) {
  const auto stripes = settings.scaled(16, 2);
  const ScratchFile file(settings.dir, (kRounds + 2) * stripes * kData * kMiB);
  const codec::Erasure erasure(kData, kParity);
  auto strips = Buffer::zeroed(kData * kMiB);
  auto lost = Buffer::zeroed(kMiB);
  bool good = true;
  for (std::uint64_t i = 0; i < stripes; ++i)
    good = good && file.write(strips.bytes(), i * strips.size());
  const auto written_at = stripes * strips.size();
  std::vector<std::uint8_t> have, want{0};
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to{lost.data()};
  for (std::uint8_t i = 0; i < kData; ++i) {
    have.push_back(static_cast<std::uint8_t>(i + 1));
    from.push_back(strips.data() + i * kMiB);
  }
  std::uint64_t stripe = 0, written = 0, sum = 0;
  const auto cost = cpu_of_call(kRounds, static_cast<int>(settings.scaled(16, 2)), [&] {
    for (std::size_t i = 0; i < kData; ++i) {
      const auto strip = strips.bytes().subspan(i * kMiB, kMiB);
      good = good && file.read(strip, (stripe % stripes * kData + i) * kMiB);
      sum += codec::checksum64(strip);
    }
    erasure.recover(have, from, want, to, kMiB);
    good = good && file.write(lost.bytes(), written_at + written++ * kMiB);
    ++stripe;
  });
  if (!good || sum == 0) return Error{Code::kIo, "cannot use a file in " + settings.dir};
  return cost;
}

}  // namespace square::bench
