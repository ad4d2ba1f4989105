#include "access/data_server.hpp"

#include <catch2/catch.hpp>

#include "support/map_service.hpp"
#include "support/memory_env.hpp"

using namespace square;
using namespace square::access;
namespace wire = square::format::wire;

namespace {

const std::string kCell = "00112233-4455-6677-8899-aabbccddeeff";

// A server on a map, and a peer that sends what it likes.
struct Bench {
  explicit Bench(DataServerOptions options = {.cell = kCell})
      : service(loop), transport(loop), server(loop, service, options, sink()) {
    transport.identity = {kCell, "client/test"};
    service.add(VolumeId(7), "orders", 1u << 20);
    service.add(VolumeId(8), "secret", 1u << 20, TenantId(2));
    server.serve(transport.listen("server").value());
  }
  ~Bench() {
    peer.reset();
    loop.run(server.stop());
  }
  LogSink sink() {
    return [this](LogLevel, std::string_view line) { log += std::string(line) + "\n"; };
  }
  void connect(bool greet = true) {
    peer = transport.connect_now();
    reader = std::make_unique<wire::WireReader>(*peer);
    if (!greet) return;
    send_raw(wire::encode(wire::Prologue{}));
    CHECK(loop.run(reader->prologue()).ok());
  }
  void send_raw(Bytes bytes) {
    BufferChain chain{Buffer::copy_of(bytes)};
    CHECK(loop.run(peer->write(std::move(chain))).ok());
  }
  static ByteVector framed(const wire::Request& request, Bytes payload = {}, std::uint64_t id = 1) {
    const auto header = wire::encode(request);
    ByteVector bytes;
    Writer out(bytes);
    wire::put(out, wire::Frame{wire::type_of(request), false, id,
                               static_cast<std::uint32_t>(header.size()),
                               static_cast<std::uint32_t>(payload.size())});
    out.put_raw(header);
    out.put_raw(payload);
    return bytes;
  }
  Result<wire::Answer> ask(const wire::Request& request, Bytes payload = {}) {
    send_raw(framed(request, payload));
    return take();
  }
  Result<wire::Answer> take() {
    auto incoming = loop.run(reader->next());
    REQUIRE(incoming.ok());
    REQUIRE(incoming->has_value());
    answered_payload = loop.run(reader->payload((*incoming)->frame.payload_bytes)).value();
    bool garbled = false;
    return wire::decode_reply((*incoming)->frame.type, (*incoming)->header, &garbled);
  }
  // The server has closed the connection.
  bool closed() {
    const auto end = loop.run(reader->next());
    return !end.ok() || !end->has_value();
  }

  test::ManualLoop loop;
  std::string log;
  test::MapService service;
  test::MemoryTransport transport;
  DataServer server;
  std::unique_ptr<env::Connection> peer;
  std::unique_ptr<wire::WireReader> reader;
  Buffer answered_payload;
};

const wire::Request kOpen = wire::OpenVolume{TenantId(1), "orders", {}};

}  // namespace

TEST_CASE("a client opens a volume, writes, and reads back what it wrote") {
  Bench b;
  b.connect();
  const auto opened = b.ask(kOpen);
  REQUIRE(opened.ok());
  CHECK(std::get<wire::VolumeOpened>(*opened).id == VolumeId(7));
  const ByteVector data(1024, std::byte{42});
  CHECK(b.ask(wire::Write{TenantId(1), SessionId(1), RequestNumber(1), VolumeId(7), 512,
                          client::ingest_hashes(512, data)},
              data)
            .ok());
  CHECK(b.ask(wire::Read{TenantId(1), VolumeId(7), 512, 1024, ""}).ok());
  CHECK(std::ranges::equal(b.answered_payload.bytes(), data));
  CHECK(b.server.stats().requests == 3);
  CHECK(b.server.stats().inflight_bytes == 0);
}

TEST_CASE("what a connection has not opened, or another tenant owns, is out of reach") {
  Bench b;
  b.connect();
  CHECK(b.ask(wire::Read{TenantId(1), VolumeId(7), 0, 512, ""}).code() == Code::kInvalid);
  CHECK(b.ask(kOpen).ok());
  CHECK(b.ask(wire::Read{TenantId(2), VolumeId(7), 0, 512, ""}).code() == Code::kInvalid);
  CHECK(b.ask(wire::OpenVolume{TenantId(1), "secret", {}}).code() == Code::kNotFound);
  CHECK(b.ask(wire::OpenVolume{TenantId(1), "", VolumeId(8)}).code() == Code::kNotFound);
}

TEST_CASE("a certificate of another cell or kind is told so, at every request") {
  Bench b;
  b.transport.identity = {kCell, "gateway/x"};
  b.connect();
  CHECK(b.ask(kOpen).code() == Code::kDenied);
  CHECK(b.ask(wire::Ping{TenantId(1)}).code() == Code::kDenied);
  b.transport.identity = {"other", "client/test"};
  b.connect();
  CHECK(b.ask(kOpen).code() == Code::kDenied);
  CHECK(b.server.stats().request_errors == 3);
}

TEST_CASE("garbage ends its own connection, with a line in the log, and nobody else's") {
  Bench b;
  b.connect();
  auto good = std::move(b.peer);
  auto good_reader = std::move(b.reader);
  const auto garbage = [&](bool greet, Bytes bytes) {
    b.log.clear();
    b.connect(greet);
    b.send_raw(bytes);
    if (!greet) (void)b.loop.run(b.reader->prologue());
    CHECK(b.closed());
    CHECK(b.log.find("client/test") != std::string::npos);
  };
  garbage(false, as_bytes("GET / HTTP/1.1\r\nHost: square\r\n\r\n"));
  garbage(false, wire::encode(wire::Prologue{2, 3, 0}));
  garbage(true, as_bytes("this is not a frame at all, not at all"));
  auto bytes = Bench::framed(kOpen);
  bytes[6] = std::byte{1};  // says that it is a reply
  garbage(true, bytes);
  garbage(true, Bench::framed(kOpen, as_bytes("payload")));
  bytes = Bench::framed(kOpen);
  bytes.resize(bytes.size() - 4);
  bytes[16] = static_cast<std::byte>(std::to_integer<int>(bytes[16]) - 4);
  garbage(true, bytes);
  CHECK(b.server.stats().protocol_errors == 6);
  b.peer = std::move(good);
  b.reader = std::move(good_reader);
  CHECK(b.ask(kOpen).ok());
}

TEST_CASE("requests of the wrong size are answered, and the connection goes on") {
  Bench b;
  b.connect();
  CHECK(b.ask(kOpen).ok());
  CHECK(b.ask(wire::Read{TenantId(1), VolumeId(7), 0, 0, ""}).code() == Code::kInvalid);
  CHECK(b.ask(wire::Read{TenantId(1), VolumeId(7), 0, (1u << 20) + 1, ""}).code() ==
        Code::kInvalid);
  CHECK(b.ask(wire::BlockStatus{TenantId(1), VolumeId(7), 0, 512, 0, ""}).code() == Code::kInvalid);
  CHECK(b.ask(wire::Write{TenantId(1), {}, {}, VolumeId(7), 0, {}}).code() == Code::kInvalid);
  CHECK(b.ask(wire::Read{TenantId(1), VolumeId(7), 1u << 20, 512, ""}).code() == Code::kInvalid);
  CHECK(b.ask(wire::Flush{TenantId(1), VolumeId(7)}).ok());
}

TEST_CASE("more requests than the budget wait unread, and all are answered") {
  DataServerOptions options{.cell = kCell};
  options.inflight_bytes_max = options.connection_inflight_bytes_max = 2u << 20;
  Bench b(options);
  b.connect();
  CHECK(b.ask(kOpen).ok());
  b.service.go.reset();
  for (std::uint64_t i = 0; i < 5; ++i)
    b.send_raw(Bench::framed(wire::Read{TenantId(1), VolumeId(7), 0, 1u << 20, ""}, {}, i));
  b.loop.run_for(std::chrono::milliseconds(1));
  CHECK(b.server.stats().inflight_bytes <= 2u << 20);
  CHECK(b.server.stats().inflight_bytes > 1u << 20);
  b.service.go.set();
  for (int i = 0; i < 5; ++i) CHECK(b.take().ok());
  b.loop.run_for(std::chrono::milliseconds(1));
  CHECK(b.server.stats().inflight_bytes == 0);
}

TEST_CASE("a peer that stalls is cut off: silent at first, inside a payload, not taking answers") {
  DataServerOptions options{.cell = kCell};
  options.stall_max = std::chrono::seconds(3);
  Bench b(options);
  SECTION("before its first byte") { b.connect(false); }
  SECTION("inside a payload") {
    b.connect();
    const ByteVector data(8192);
    const auto whole = Bench::framed(wire::Write{TenantId(1), {}, {}, VolumeId(7), 0, {}}, data);
    b.send_raw(Bytes(whole).first(whole.size() - 1));
  }
  SECTION("not taking its answers") {
    b.transport.room_down = 2000;
    b.connect();
    CHECK(b.ask(kOpen).ok());
    b.send_raw(Bench::framed(wire::Read{TenantId(1), VolumeId(7), 0, 65536, ""}));
  }
  b.loop.run_for(std::chrono::milliseconds(10));
  CHECK(b.server.stats().connections == 1);
  b.loop.run_for(std::chrono::seconds(4));
  CHECK(b.server.stats().connections == 0);
  CHECK(b.server.stats().inflight_bytes == 0);
}

TEST_CASE("stop finishes what is in flight, refuses what is new, and closes") {
  Bench b;
  b.connect();
  CHECK(b.ask(kOpen).ok());
  b.service.go.reset();
  b.send_raw(Bench::framed(wire::Read{TenantId(1), VolumeId(7), 0, 512, ""}, {}, 1));
  b.loop.run_for(std::chrono::milliseconds(1));
  env::Scope stopping(b.loop);
  stopping.spawn(b.server.stop());
  b.loop.run_for(std::chrono::milliseconds(1));
  b.send_raw(Bench::framed(kOpen, {}, 2));
  CHECK(b.take().code() == Code::kUnavailable);
  b.service.go.set();
  CHECK(b.take().ok());
  CHECK(b.closed());
  b.loop.run_for(std::chrono::milliseconds(1));
  CHECK(stopping.size() == 0);
}

TEST_CASE("connections over the limit are refused") {
  DataServerOptions options{.cell = kCell};
  options.connections_max = 1;
  Bench b(options);
  b.connect();
  auto first = std::move(b.peer);
  b.connect(false);
  CHECK(b.closed());
  CHECK(b.server.stats().connections_refused == 1);
}

TEST_CASE("stop does not wait for a connection that was accepted in the same turn") {
  Bench b;
  b.peer = b.transport.connect_now();
  while (b.server.stats().connections_total == 0) REQUIRE(b.loop.step());
  CHECK(b.server.stats().connections == 0);
  b.loop.run(b.server.stop());
  CHECK(b.server.stats().connections == 0);
}
