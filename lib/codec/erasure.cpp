#include "codec/erasure.hpp"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

namespace square::codec {
namespace {

constexpr std::size_t kStrips = 32;
constexpr std::size_t kVectorBytes = 32;       // ISA-L's xor_gen and pq_gen want this alignment
constexpr std::size_t kTableBytes = 32;        // of one coefficient, expanded for the vector unit
constexpr std::size_t kTablesKeptMax = 256;    // of a thread: 256 bytes for each strip wanted
constexpr std::size_t kChunkBytes = 1u << 30;  // ISA-L counts bytes in an int

unsigned char* raw(const std::byte* bytes) {
  // ISA-L's prototypes lack const; the sources are only read.
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes));
}

bool aligned(const std::byte* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kVectorBytes == 0;
}

}  // namespace

Erasure::Erasure(std::uint8_t k, std::uint8_t m) : k_(k), m_(m) {
  SQ_CHECK(k >= 1 && k + m <= static_cast<int>(kStrips));
  matrix_.resize(static_cast<std::size_t>(k + m) * k);
  encode_tables_.resize(kTableBytes * k * m);
  // The Vandermonde form equals P + Q for two parities, but is not MDS for every larger m.
  if (m <= 2) {
    gf_gen_rs_matrix(matrix_.data(), k + m, k);
  } else {
    gf_gen_cauchy1_matrix(matrix_.data(), k + m, k);
  }
  if (m > 0) ec_init_tables(k, m, matrix_.data() + std::size_t{k} * k, encode_tables_.data());
}

void Erasure::encode(std::span<const std::byte* const> data, std::span<std::byte* const> parity,
                     std::size_t strip_bytes) const {
  SQ_CHECK(data.size() == k_ && parity.size() == m_ && strip_bytes <= kChunkBytes);
  if (m_ == 0 || strip_bytes == 0) return;
  std::array<unsigned char*, kStrips> strips;
  std::transform(data.begin(), data.end(), strips.begin(), raw);
  std::transform(parity.begin(), parity.end(), strips.begin() + k_, raw);

  const auto size = static_cast<int>(strip_bytes);
  const bool vectors = strip_bytes % kVectorBytes == 0 && k_ >= 2 &&
                       std::ranges::all_of(data, aligned) && std::ranges::all_of(parity, aligned);
  if (vectors && m_ <= 2) {
    auto** const all = reinterpret_cast<void**>(strips.data());
    const auto failed = m_ == 1 ? xor_gen(k_ + 1, size, all) : pq_gen(k_ + 2, size, all);
    SQ_CHECK(failed == 0, "parity of strips failed");
    return;
  }
  ec_encode_data(size, k_, m_, const_cast<unsigned char*>(encode_tables_.data()), strips.data(),
                 strips.data() + k_);
}

void Erasure::recover(std::span<const std::uint8_t> have, std::span<const std::byte* const> from,
                      std::span<const std::uint8_t> want, std::span<std::byte* const> to,
                      std::size_t strip_bytes) const {
  SQ_CHECK(have.size() == k_ && from.size() == k_ && strip_bytes <= kChunkBytes);
  SQ_CHECK(want.size() == to.size() && want.size() <= m_);
  SQ_CHECK(std::ranges::adjacent_find(have, std::greater_equal{}) == have.end(), "not ascending");
  if (want.empty() || strip_bytes == 0) return;

  const auto& tables = recovery_tables(have, want);
  std::array<unsigned char*, kStrips> sources, targets;
  std::transform(from.begin(), from.end(), sources.begin(), raw);
  std::transform(to.begin(), to.end(), targets.begin(), raw);
  ec_encode_data(static_cast<int>(strip_bytes), k_, static_cast<int>(want.size()),
                 const_cast<unsigned char*>(tables.data()), sources.data(), targets.data());
}

// As long as the same disks are gone they are the same for every stripe of one rotation: making
// them costs as much as recovering a few KiB.
const std::vector<unsigned char>& Erasure::recovery_tables(
    std::span<const std::uint8_t> have, std::span<const std::uint8_t> want) const {
  using Key = std::tuple<std::uint8_t, std::uint8_t, std::uint32_t, std::uint32_t>;
  thread_local std::map<Key, std::vector<unsigned char>> kept;
  const auto set_of = [](std::span<const std::uint8_t> strips) {
    std::uint32_t set = 0;
    for (const auto strip : strips) set |= std::uint32_t{1} << strip;
    return set;
  };
  SQ_CHECK(std::ranges::adjacent_find(want, std::greater_equal{}) == want.end(), "not ascending");
  const Key key{k_, m_, set_of(have), set_of(want)};
  const auto found = kept.find(key);
  if (found != kept.end()) return found->second;
  if (kept.size() >= kTablesKeptMax) kept.clear();
  return kept.emplace(key, make_recovery_tables(have, want)).first->second;
}

std::vector<unsigned char> Erasure::make_recovery_tables(std::span<const std::uint8_t> have,
                                                         std::span<const std::uint8_t> want) const {
  // Rows of the strips at hand, inverted, give data from them; times a wanted strip's row, that
  // strip.
  std::array<unsigned char, kStrips * kStrips> rows, inverse, wanted;
  for (std::size_t i = 0; i < k_; ++i) {
    SQ_CHECK(have[i] < k_ + m_);
    std::copy_n(matrix_.begin() + have[i] * k_, k_, rows.begin() + static_cast<long>(i * k_));
  }
  SQ_CHECK(gf_invert_matrix(rows.data(), inverse.data(), k_) == 0, "strips do not determine data");
  for (std::size_t w = 0; w < want.size(); ++w) {
    SQ_CHECK(want[w] < k_ + m_ && !std::ranges::binary_search(have, want[w]));
    for (std::size_t column = 0; column < k_; ++column) {
      unsigned char sum = 0;
      for (std::size_t i = 0; i < k_; ++i)
        sum ^= gf_mul(matrix_[want[w] * std::size_t{k_} + i], inverse[i * k_ + column]);
      wanted[w * k_ + column] = sum;
    }
  }
  std::vector<unsigned char> tables(kTableBytes * k_ * want.size());
  ec_init_tables(k_, static_cast<int>(want.size()), wanted.data(), tables.data());
  return tables;
}

const Erasure& Erasure::of(std::uint8_t k, std::uint8_t m) {
  thread_local std::map<std::pair<std::uint8_t, std::uint8_t>, Erasure> kept;
  return kept.try_emplace({k, m}, k, m).first->second;
}

}  // namespace square::codec
