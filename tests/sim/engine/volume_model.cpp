#include "sim/engine/volume_model.hpp"

#include <algorithm>
#include <array>

namespace square::sim {

void fill_sector(std::uint64_t token, MutableBytes sector) {
  if (token == 0) return void(std::fill(sector.begin(), sector.end(), std::byte{0}));
  for (std::size_t at = 0; at < sector.size(); at += sizeof token) {
    const auto word = (token + at) * 0x9E3779B97F4A7C15ull ^ token;
    std::memcpy(sector.data() + at, &word, sizeof word);
  }
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
      sector.erase(self);
      continue;
    }
    self->ended = now;
    if (outcome == Outcome::kUnknown) continue;
    // What had ended before this one began is overwritten.
    for (auto& entry : sector)
      if (entry.ended <= began && entry.replaced == kNever) entry.replaced = now;
    forget(sector);
  }
}

void VolumeModel::forget(Sector& sector) const {
  const auto oldest = reading_.empty() ? kNever - 1 : *reading_.begin();
  std::erase_if(sector, [&](const Entry& entry) { return entry.replaced <= oldest; });
}

std::optional<std::string> VolumeModel::check(std::uint64_t first, Bytes bytes,
                                              std::uint64_t began, std::uint64_t now) {
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
    if (shown == sector.end())
      return "sector " + std::to_string(first + at / kSectorBytes) + " shows none of the " +
             std::to_string(sector.size()) + " contents that it may have";
    const auto token = shown->token;
    for (auto& entry : sector)
      if (entry.token != token && entry.ended <= began && entry.replaced == kNever)
        entry.replaced = now;
    forget(sector);
  }
  return std::nullopt;
}

void VolumeModel::crashed(std::uint64_t now) {
  reading_.clear();
  for (auto& sector : sectors_) {
    for (auto& entry : sector)
      if (entry.ended == kNever) entry.ended = now;
    forget(sector);
  }
}

}  // namespace square::sim
