#include "sim/engine/volume_model.hpp"

#include <algorithm>
#include <array>

#include "codec/checksum.hpp"

namespace square::sim {

void fill_sector(std::uint64_t token, MutableBytes sector) {
  if (token == 0) return void(std::fill(sector.begin(), sector.end(), std::byte{0}));
  for (std::size_t at = 0; at < sector.size(); at += sizeof token) {
    const auto word = (token + at) * 0x9E3779B97F4A7C15ull ^ token;
    std::memcpy(sector.data() + at, &word, sizeof word);
  }
}

ClientData client_data(std::uint64_t first, std::uint64_t count, std::uint64_t token) {
  ClientData out;
  const auto offset = first * kSectorBytes, length = count * kSectorBytes;
  out.data = Buffer::allocate(length);
  for (std::uint64_t i = 0; i < count; ++i)
    fill_sector(token + i, out.data.bytes().subspan(i * kSectorBytes, kSectorBytes));
  for (std::uint64_t at = 0; at < length;) {
    const auto part = std::min(length - at, kBlockBytes - (offset + at) % kBlockBytes);
    out.ingest.push_back(codec::checksum64(out.data.bytes().subspan(at, part)));
    at += part;
  }
  return out;
}

void VolumeModel::begin(std::uint64_t first, std::uint64_t count, std::uint64_t token,
                        std::uint64_t now) {
  for (auto i = first; i < first + count; ++i)
    sectors_[i].push_back({token == 0 ? 0 : token + (i - first), now, kNever});
}

void VolumeModel::end(std::uint64_t first, std::uint64_t count, std::uint64_t token,
                      std::uint64_t began, std::uint64_t now, Outcome outcome) {
  for (auto i = first; i < first + count; ++i) {
    auto& sector = sectors_[i];
    const auto mine = token == 0 ? 0 : token + (i - first);
    const auto self = std::find_if(sector.begin(), sector.end(), [&](const Entry& entry) {
      return entry.token == mine && entry.began == began;
    });
    SQ_CHECK(self != sector.end(), "the model lost a write");
    if (outcome == Outcome::kNotDone) {
      past_.push_back({i, *self});
      sector.erase(self);
      continue;
    }
    self->ended = now;
    if (outcome == Outcome::kUnknown) continue;
    // What had ended before this one began is overwritten.
    for (auto& entry : sector)
      if (entry.ended <= began && entry.replaced == kNever) entry.replaced = now;
    forget(i);
  }
}

void VolumeModel::forget(std::size_t sector) {
  const auto oldest = reading_.empty() ? kNever - 1 : *reading_.begin();
  auto& entries = sectors_[sector];
  if (entries.size() == 1) return;  // something it must show
  std::erase_if(entries, [&](const Entry& entry) {
    if (entry.replaced > oldest) return false;
    past_.push_back({sector, entry});
    return true;
  });
}

std::string VolumeModel::describe(std::size_t sector, Bytes bytes) const {
  std::array<std::byte, kSectorBytes> expected;
  std::string text = "sector " + std::to_string(sector) + " may have:";
  const auto add = [&](const Entry& entry) {
    text += " " + std::to_string(entry.token) + " [" + std::to_string(entry.began) + ", " +
            (entry.ended == kNever ? "-" : std::to_string(entry.ended)) + ")";
  };
  for (const auto& entry : sectors_[sector]) add(entry);
  text += "; it shows ";
  for (const auto& past : past_) {
    if (past.sector != sector) continue;
    fill_sector(past.entry.token, expected);
    if (!std::equal(bytes.begin(), bytes.end(), expected.begin())) continue;
    add(past.entry);
    return text + ", replaced at " + std::to_string(past.entry.replaced);
  }
  const bool zeros = std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  return text + (zeros ? "zeros" : "bytes that were never written to it");
}

std::optional<std::string> VolumeModel::check(std::uint64_t first, Bytes bytes, std::uint64_t began,
                                              std::uint64_t now) {
  end_read(began);
  std::array<std::byte, kSectorBytes> expected;
  for (std::size_t at = 0; at < bytes.size(); at += kSectorBytes) {
    auto& sector = sectors_[first + at / kSectorBytes];
    const auto got = bytes.subspan(at, kSectorBytes);
    const auto shown = std::find_if(sector.begin(), sector.end(), [&](const Entry& entry) {
      if (entry.replaced <= began) return false;
      fill_sector(entry.token, expected);
      return std::equal(got.begin(), got.end(), expected.begin());
    });
    if (shown == sector.end()) return describe(first + at / kSectorBytes, got);
    const auto token = shown->token;
    for (auto& entry : sector)
      if (entry.token != token && entry.ended <= began && entry.replaced == kNever)
        entry.replaced = now;
    forget(first + at / kSectorBytes);
  }
  return std::nullopt;
}

void VolumeModel::crashed(std::uint64_t now) {
  reading_.clear();
  for (std::size_t i = 0; i < sectors_.size(); ++i) {
    for (auto& entry : sectors_[i])
      if (entry.ended == kNever) entry.ended = now;
    forget(i);
  }
}

}  // namespace square::sim
