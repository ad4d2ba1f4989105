#include "codec/erasure.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "base/buffer.hpp"

using namespace square;
using namespace square::codec;

namespace {

// A stripe of random data with its parity; strips may start `skew` bytes off the alignment.
struct Stripe {
  Stripe(std::uint8_t k, std::uint8_t m, std::size_t bytes, std::size_t skew = 0)
      : code(k, m), strip_bytes(bytes) {
    std::mt19937_64 random(k * 1000u + m);
    for (int i = 0; i < k + m; ++i) {
      strips.push_back(Buffer::zeroed(bytes + skew).slice(skew, bytes));
      if (i < k)
        for (auto& byte : strips.back().bytes()) byte = static_cast<std::byte>(random());
    }
    std::vector<const std::byte*> data;
    std::vector<std::byte*> parity;
    for (int i = 0; i < k; ++i) data.push_back(strips[i].data());
    for (int i = k; i < k + m; ++i) parity.push_back(strips[i].data());
    code.encode(data, parity, bytes);
  }

  bool recovers(const std::vector<std::uint8_t>& lost) const {
    std::vector<std::uint8_t> have;
    std::vector<const std::byte*> from;
    for (std::uint8_t i = 0; i < code.k() + code.m() && have.size() < code.k(); ++i) {
      if (std::ranges::find(lost, i) != lost.end()) continue;
      have.push_back(i);
      from.push_back(strips[i].data());
    }
    std::vector<Buffer> rebuilt;
    std::vector<std::byte*> to;
    for (std::size_t i = 0; i < lost.size(); ++i) {
      rebuilt.push_back(Buffer::zeroed(strip_bytes));
      to.push_back(rebuilt.back().data());
    }
    code.recover(have, from, lost, to, strip_bytes);
    for (std::size_t i = 0; i < lost.size(); ++i)
      if (!std::ranges::equal(rebuilt[i].bytes(), strips[lost[i]].bytes())) return false;
    return true;
  }

  Erasure code;
  std::size_t strip_bytes;
  std::vector<Buffer> strips;
};

}  // namespace

TEST_CASE("every loss of one or two strips is rebuilt exactly") {
  for (const auto& [k, m] : {std::pair{8, 2}, {4, 1}, {2, 2}, {3, 2}, {2, 1}, {1, 1}, {1, 2}}) {
    const Stripe stripe(static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), 4096);
    for (std::uint8_t a = 0; a < k + m; ++a) {
      INFO(k << "+" << m << " without " << int{a});
      CHECK(stripe.recovers({a}));
      for (std::uint8_t b = a + 1; m >= 2 && b < k + m; ++b) {
        INFO("and without " << int{b});
        CHECK(stripe.recovers({a, b}));
      }
    }
  }
}

TEST_CASE("every loss of three strips of 10+3 is rebuilt exactly") {
  const Stripe stripe(10, 3, 512);
  for (std::uint8_t a = 0; a < 13; ++a)
    for (std::uint8_t b = a + 1; b < 13; ++b)
      for (std::uint8_t c = b + 1; c < 13; ++c) {
        INFO(int{a} << " " << int{b} << " " << int{c});
        CHECK(stripe.recovers({a, b, c}));
      }
}

TEST_CASE("the widest code rebuilds its first and last strips") {
  const Stripe stripe(28, 4, 4096);
  CHECK(stripe.recovers({0, 1, 2, 3}));
  CHECK(stripe.recovers({0, 27, 28, 31}));
}

TEST_CASE("parity does not depend on the path that computed it") {
  for (const auto& [k, m] : {std::pair{8, 2}, {4, 1}, {2, 2}}) {
    const Stripe fast(static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), 8192);
    const Stripe slow(static_cast<std::uint8_t>(k), static_cast<std::uint8_t>(m), 8192, 8);
    for (int i = 0; i < k + m; ++i) {
      INFO(k << "+" << m << " strip " << i);
      CHECK(std::ranges::equal(fast.strips[i].bytes(), slow.strips[i].bytes()));
    }
  }
}

TEST_CASE("P is the xor of the data, and Q weighs strip i by 2 to the i") {
  const Stripe stripe(3, 2, 32);
  const auto doubled = [](std::byte b) {
    const auto v = std::to_integer<unsigned>(b) << 1;
    return static_cast<std::byte>(v ^ (v & 0x100 ? 0x11d : 0));
  };
  const auto at = [&](int strip) { return stripe.strips[strip].data()[5]; };
  CHECK(at(3) == (at(0) ^ at(1) ^ at(2)));
  CHECK(at(4) == (at(0) ^ doubled(at(1)) ^ doubled(doubled(at(2)))));
}

TEST_CASE("a code without parity has nothing to compute") {
  const Stripe stripe(4, 0, 4096);
  CHECK(stripe.recovers({}));
}
