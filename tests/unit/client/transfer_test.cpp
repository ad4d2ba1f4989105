#include "client/transfer.hpp"

#include <catch2/catch.hpp>

#include "access/data_server.hpp"
#include "support/map_service.hpp"
#include "support/memory_env.hpp"

using namespace square;
using namespace square::client;

namespace {

constexpr std::uint64_t kMiB = 1u << 20;

struct Bench {
  Bench()
      : service(loop),
        transport(loop),
        server(loop, service, access::DataServerOptions{}, nullptr),
        core(loop, transport, options()) {
    service.add(VolumeId(7), "orders", 40 * kMiB);
    server.serve(transport.listen("server").value());
    REQUIRE(loop.run(core.open("orders")).ok());
  }
  ~Bench() {
    loop.run(core.stop());
    loop.run(server.stop());
  }
  static CoreOptions options() {
    CoreOptions options;
    options.addresses = {"server"};
    return options;
  }
  // Pieces of 1 MiB filled with their number; every third a hole.
  Source numbers(std::uint64_t count) {
    return [count, next = std::uint64_t{0}]() mutable -> Result<std::optional<Piece>> {
      if (next == count) return std::optional<Piece>();
      Piece piece{next * kMiB, kMiB, next % 3 == 2, {}};
      if (!piece.hole) {
        piece.data = Buffer::allocate(kMiB);
        std::memset(piece.data.data(), static_cast<int>(next + 1), kMiB);
      }
      ++next;
      return std::optional(std::move(piece));
    };
  }

  test::ManualLoop loop;
  test::MapService service;
  test::MemoryTransport transport;
  access::DataServer server;
  Core core;
  Progress progress;
};

}  // namespace

TEST_CASE("a volume that was filled in pieces comes out in order, byte for byte") {
  Bench b;
  b.service.volumes[VolumeId(7)].bytes.assign(40 * kMiB, std::byte{99});
  CHECK(b.loop.run(copy_in(b.loop, b.core, VolumeId(7), b.numbers(40), &b.progress)).ok());
  CHECK(b.progress.done_bytes == 40 * kMiB);
  ByteVector out;
  const Sink sink = [&](const Piece& piece) -> Result<> {
    CHECK(piece.offset == out.size());
    const auto bytes = piece.data.bytes();
    out.insert(out.end(), bytes.begin(), bytes.end());
    return {};
  };
  CHECK(
      b.loop.run(copy_out(b.loop, b.core, VolumeId(7), 0, 40 * kMiB, "", sink, &b.progress)).ok());
  REQUIRE(out.size() == 40 * kMiB);
  for (std::uint64_t i = 0; i < 40; ++i)
    CHECK(out[i * kMiB + 5] == (i % 3 == 2 ? std::byte{0} : static_cast<std::byte>(i + 1)));
}

TEST_CASE("a range is read as asked, not a byte more") {
  Bench b;
  std::uint64_t got = 0;
  const Sink sink = [&](const Piece& piece) -> Result<> {
    got += piece.data.size();
    return {};
  };
  CHECK(
      b.loop.run(copy_out(b.loop, b.core, VolumeId(7), 512, 3 * kMiB, "", sink, &b.progress)).ok());
  CHECK(got == 3 * kMiB);
}

TEST_CASE("an error of the node, of the source, or of the sink ends the copy and names the place") {
  Bench b;
  SECTION("writing") {
    b.service.errors = {{Code::kNoSpace, "full"}};
    const auto done = b.loop.run(copy_in(b.loop, b.core, VolumeId(7), b.numbers(40), &b.progress));
    CHECK(done.code() == Code::kNoSpace);
    CHECK_THAT(done.error().message, Catch::Contains("at offset 0"));
  }
  SECTION("the source") {
    const Source broken = []() -> Result<std::optional<Piece>> {
      return Error{Code::kIo, "the file broke"};
    };
    CHECK(b.loop.run(copy_in(b.loop, b.core, VolumeId(7), broken, &b.progress)).code() ==
          Code::kIo);
  }
  const Sink fine = [](const Piece&) { return Result<>(); };
  SECTION("block status") {
    b.service.errors = {{Code::kDataLoss, "lost"}};
    CHECK(
        b.loop.run(copy_out(b.loop, b.core, VolumeId(7), 0, kMiB, "", fine, &b.progress)).code() ==
        Code::kDataLoss);
  }
  SECTION("reading") {
    b.service.errors = {{Code::kBusy, "later"}, {Code::kDataLoss, "lost"}};
    const auto done =
        b.loop.run(copy_out(b.loop, b.core, VolumeId(7), 0, kMiB, "", fine, &b.progress));
    CHECK(done.code() == Code::kDataLoss);
  }
  SECTION("the sink, with reads on their way") {
    const Sink full = [](const Piece&) -> Result<> { return Error{Code::kNoSpace, "full"}; };
    CHECK(b.loop.run(copy_out(b.loop, b.core, VolumeId(7), 0, 40 * kMiB, "", full, &b.progress))
              .code() == Code::kNoSpace);
  }
}

TEST_CASE("zeros are zeros only when every byte is") {
  auto buffer = Buffer::zeroed(4096);
  CHECK(all_zero(buffer.bytes()));
  CHECK(all_zero({}));
  buffer.data()[4095] = std::byte{1};
  CHECK_FALSE(all_zero(buffer.bytes()));
  buffer = Buffer::zeroed(1);
  CHECK(all_zero(buffer.bytes()));
}
