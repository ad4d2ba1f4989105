#include "client/core.hpp"

#include <catch2/catch.hpp>

#include "access/data_server.hpp"
#include "support/map_service.hpp"
#include "support/memory_env.hpp"

using namespace square;
using namespace square::client;

namespace {

struct Bench {
  explicit Bench(CoreOptions options = {.addresses = {"server"}})
      : service(loop), transport(loop), core(loop, transport, options) {
    service.add(VolumeId(7), "orders", 4u << 20);
    start_server();
  }
  ~Bench() {
    loop.run(core.stop());
    stop_server();
  }
  void start_server() {
    server =
        std::make_unique<access::DataServer>(loop, service, access::DataServerOptions{}, nullptr);
    server->serve(transport.listen("server").value());
  }
  void stop_server() {
    if (!server) return;
    loop.run(server->stop());
    server.reset();
  }
  Result<VolumeInfo> open() { return loop.run(core.open("orders")); }
  Result<> write(std::uint64_t offset, std::size_t size, int value) {
    auto data = Buffer::allocate(size);
    std::memset(data.data(), value, size);
    return loop.run(core.write(VolumeId(7), offset, std::move(data)));
  }

  test::ManualLoop loop;
  test::MapService service;
  test::MemoryTransport transport;
  std::unique_ptr<access::DataServer> server;
  Core core;
};

}  // namespace

TEST_CASE("a client writes at odd offsets and reads back") {
  Bench b;
  const auto volume = b.open();
  REQUIRE(volume.ok());
  CHECK(volume->size_bytes == 4u << 20);
  CHECK(b.write(512, 1u << 20, 3).ok());
  const auto read = b.loop.run(b.core.read(VolumeId(7), 512, 1u << 20));
  REQUIRE(read.ok());
  CHECK(read->bytes()[77] == std::byte{3});
  CHECK(b.loop.run(b.core.zero(VolumeId(7), 0, 1024)).ok());
  CHECK(b.loop.run(b.core.read(VolumeId(7), 512, 512)).value().bytes()[0] == std::byte{0});
  CHECK(b.loop.run(b.core.flush(VolumeId(7))).ok());
  const auto status = b.loop.run(b.core.block_status(VolumeId(7), 0, 8192, 10));
  REQUIRE(status.ok());
  CHECK(status->front().length == 8192);
  CHECK(b.transport.connects == 1);
}

TEST_CASE("what the node says comes back as it is, and is not repeated") {
  Bench b;
  CHECK(b.loop.run(b.core.open("nothing")).code() == Code::kNotFound);
  REQUIRE(b.open().ok());
  CHECK(b.write(4u << 20, 512, 1).code() == Code::kInvalid);
  b.service.errors = {{Code::kNoSpace, "full"}};
  CHECK(b.write(0, 512, 1).code() == Code::kNoSpace);
  CHECK(b.core.stats().retries == 0);
  CHECK(b.loop.run(b.core.write(VolumeId(7), 0, Buffer::zeroed((1u << 20) + 512))).code() ==
        Code::kInvalid);
}

TEST_CASE("busy is tried again until it works") {
  Bench b;
  REQUIRE(b.open().ok());
  b.service.errors = {{Code::kBusy, "later"}, {Code::kUnavailable, "later"}};
  CHECK(b.write(0, 512, 1).ok());
  CHECK(b.core.stats().retries == 2);
}

TEST_CASE("a write whose answer is lost is sent again under its number, and done once") {
  Bench b;
  REQUIRE(b.open().ok());
  bool cut = false;
  b.service.after_write = [&] {
    if (!std::exchange(cut, true)) b.transport.cut_last();
  };
  CHECK(b.write(0, 4096, 9).ok());
  CHECK(b.service.writes == 1);
  CHECK(b.service.done.size() == 1);
  CHECK(b.transport.connects == 2);
  CHECK(b.core.stats().retries >= 1);
}

TEST_CASE("a write that was sent and never answered says that its outcome is unknown") {
  CoreOptions options{.addresses = {"server"}};
  options.request_timeout = std::chrono::seconds(5);
  Bench b(options);
  REQUIRE(b.open().ok());
  b.service.go.reset();
  CHECK(b.write(0, 512, 1).code() == Code::kOutcomeUnknown);
  CHECK(b.core.stats().outcomes_unknown == 1);
  // A read changes nothing: it only took too long.
  CHECK(b.loop.run(b.core.read(VolumeId(7), 0, 512)).code() == Code::kTimeout);
  b.service.go.set();
}

TEST_CASE("a node that went away during a write leaves an unknown outcome") {
  CoreOptions options{.addresses = {"server"}};
  options.request_timeout = std::chrono::seconds(5);
  Bench b(options);
  REQUIRE(b.open().ok());
  b.service.after_write = [&] {
    b.transport.cut_last();
    b.transport.refuse_next = 1000;
  };
  CHECK(b.write(0, 512, 1).code() == Code::kOutcomeUnknown);
}

TEST_CASE("a node that was never reached has done nothing, and that is said") {
  CoreOptions options{.addresses = {"one", "two"}};
  options.request_timeout = std::chrono::seconds(5);
  Bench b(options);
  b.transport.refuse_next = 1000;
  const auto opened = b.open();
  CHECK(opened.code() == Code::kUnavailable);
  CHECK(opened.error().message.find("connection refused") != std::string::npos);
  CHECK(b.write(0, 512, 1).code() == Code::kUnavailable);
}

TEST_CASE("a restart of the node is waited out, volumes are opened again") {
  Bench b;
  REQUIRE(b.open().ok());
  CHECK(b.write(0, 512, 1).ok());
  b.stop_server();
  b.transport.refuse_next = 3;
  b.start_server();
  CHECK(b.write(512, 512, 2).ok());
  CHECK(b.loop.run(b.core.read(VolumeId(7), 0, 512)).ok());
  CHECK(b.service.sessions == 1);
}

TEST_CASE("a forgotten session is an unknown outcome once, then a new session") {
  Bench b;
  REQUIRE(b.open().ok());
  CHECK(b.write(0, 512, 1).ok());
  b.service.errors = {{Code::kOutcomeUnknown, "no such session"}};
  CHECK(b.write(0, 512, 1).code() == Code::kOutcomeUnknown);
  CHECK(b.write(0, 512, 1).ok());
  CHECK(b.service.sessions == 2);
}

TEST_CASE("a write that was corrupted on the way is refused by the node") {
  Bench b;
  REQUIRE(b.open().ok());
  auto data = Buffer::zeroed(4096);
  env::Scope scope(b.loop);
  std::optional<Result<>> result;
  scope.spawn([](Core& core, Buffer payload, std::optional<Result<>>* out) -> Task<void> {
    out->emplace(co_await core.write(VolumeId(7), 0, std::move(payload)));
  }(b.core, data, &result));
  b.loop.step();  // the hashes are made
  data.data()[5] = std::byte{1};
  b.loop.run_for(std::chrono::seconds(1));
  REQUIRE(result.has_value());
  CHECK(result->code() == Code::kCorrupt);
}

TEST_CASE("stop ends what waits, and says what it cannot know") {
  Bench b;
  REQUIRE(b.open().ok());
  CHECK(b.write(0, 512, 1).ok());
  b.service.go.reset();
  std::vector<Code> codes;
  env::Scope scope(b.loop);
  const auto write = [](Core& core, std::vector<Code>* out) -> Task<void> {
    const auto result = co_await core.write(VolumeId(7), 0, Buffer::zeroed(512));
    out->push_back(result.code());
  };
  const auto read = [](Core& core, std::vector<Code>* out) -> Task<void> {
    const auto result = co_await core.read(VolumeId(7), 0, 512);
    out->push_back(result.code());
  };
  scope.spawn(write(b.core, &codes));
  scope.spawn(read(b.core, &codes));
  b.loop.run_for(std::chrono::milliseconds(1));
  b.loop.run(b.core.stop());
  b.service.go.set();
  b.loop.run_for(std::chrono::milliseconds(1));
  CHECK(codes == std::vector{Code::kOutcomeUnknown, Code::kCancelled});
  CHECK(b.loop.run(b.core.read(VolumeId(7), 0, 512)).code() == Code::kCancelled);
}
