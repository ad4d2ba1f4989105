// Sealing and the erasure code alone.
#include "bench/content.hpp"
#include "bench/runs.hpp"
#include "bench/usage.hpp"
#include "codec/erasure.hpp"
#include "codec/seal.hpp"

namespace square::bench {

namespace {

constexpr int kRounds = 5;
constexpr double kMega = 1e6;

struct Sealing {
  codec::SecretKey key;
  codec::SealId id{};
  codec::Sealer sealer{id, 1};
  codec::Opener opener;

  codec::SealedExtent seal(const Content::Piece& piece, std::uint8_t frame_shift) {
    const Bytes content[] = {piece.data.bytes()};
    return sealer
        .seal(key, KeyId(1), identity(piece.data.size()), content, piece.ingest, frame_shift)
        .value();
  }
  bool open(const codec::SealedExtent& sealed, std::uint32_t offset, MutableBytes out) {
    const auto whole = identity(sealed.ref.plain_bytes);
    return codec::verify_stored(sealed.stored.bytes(), sealed.ref).ok() &&
           opener.open(key, KeyId(1), id, sealed.stored.bytes(), whole, offset, out).ok();
  }
  static codec::ExtentIdentity identity(std::size_t plain_bytes) {
    codec::ExtentIdentity identity;
    identity.plain_bytes = static_cast<std::uint32_t>(plain_bytes);
    return identity;
  }
};

void tell_rate(Report& report, const std::string& what, double bytes, double seconds) {
  report.number(what, bytes / kMega / seconds, "MB per CPU second");
}

}  // namespace

Result<> run_seal(const Settings& settings, Report& report) {
  Content content;
  Sealing sealing;
  const auto calls = static_cast<int>(settings.scaled(200, 2));
  for (const std::uint8_t shift : {12, 14, 16}) {
    const auto frames = ", frames of " + std::to_string((1u << shift) >> 10) + " KiB";
    for (const std::uint32_t bytes : {4u << 10, 64u << 10, 1u << 20}) {
      const auto piece = content.draw(bytes);
      const auto size = std::to_string(bytes >> 10) + " KiB";
      const auto seal_s = cpu_of_call(kRounds, calls, [&] { sealing.seal(piece, shift); });
      tell_rate(report, "seal " + size + frames, bytes, seal_s);
    }
    const auto sealed = sealing.seal(content.draw(64u << 10), shift);
    report.number("stored bytes per byte, 64 KiB" + frames,
                  static_cast<double>(sealed.ref.stored_bytes) / (64u << 10), "");
    for (const std::uint32_t bytes : {4u << 10, 64u << 10}) {
      auto out = Buffer::allocate(bytes);
      bool good = true;
      const auto open_s =
          cpu_of_call(kRounds, calls, [&] { good = good && sealing.open(sealed, 0, out.bytes()); });
      if (!good) return Error{Code::kCorrupt, "what was sealed does not open"};
      report.number("check 64 KiB, open " + std::to_string(bytes >> 10) + " KiB of it" + frames,
                    open_s * kMega, "us of CPU");
    }
  }
  return {};
}

Result<> run_parity(const Settings& settings, Report& report) {
  constexpr std::uint8_t kData = 8, kParity = 2;
  Content content;
  const codec::Erasure erasure(kData, kParity);
  const auto calls = static_cast<int>(settings.scaled(200, 2));
  for (const std::size_t strip_bytes : {4u << 10, 128u << 10, 1u << 20}) {
    std::vector<Buffer> strips;
    std::vector<const std::byte*> from;
    std::vector<std::byte*> to;
    for (std::size_t i = 0; i < kData; ++i) {
      const auto piece = content.draw(strip_bytes).data;
      strips.push_back(Buffer::copy_of(piece.bytes()));
      from.push_back(strips.back().data());
    }
    for (std::size_t i = 0; i < kParity; ++i) {
      strips.push_back(Buffer::zeroed(strip_bytes));
      to.push_back(strips.back().data());
    }
    const auto size = ", strips of " + std::to_string(strip_bytes >> 10) + " KiB";
    const auto bytes = static_cast<double>(kData * strip_bytes);
    tell_rate(report, "encode 8 + 2" + size, bytes,
              cpu_of_call(kRounds, calls, [&] { erasure.encode(from, to, strip_bytes); }));
    const std::vector<std::uint8_t> have{2, 3, 4, 5, 6, 7, 8, 9};
    std::vector<const std::byte*> present;
    for (const auto i : have) present.push_back(strips[i].data());
    auto spare = Buffer::allocate(2 * strip_bytes);
    std::vector<std::byte*> lost{spare.data(), spare.data() + strip_bytes};
    const std::vector<std::uint8_t> want{0, 1};
    tell_rate(report, "recover 2 strips" + size, bytes, cpu_of_call(kRounds, calls, [&] {
                erasure.recover(have, present, want, lost, strip_bytes);
              }));
    if (std::memcmp(spare.data(), from[0], strip_bytes) != 0)
      return Error{Code::kCorrupt, "what was recovered is not what was lost"};
  }
  return {};
}

}  // namespace square::bench
