#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "conformance/transport_conformance.hpp"
#include "env/real/openssl_handles.hpp"
#include "env/real/socket_address.hpp"
#include "unit/env/tls_fixture.hpp"

using namespace square;
using namespace std::chrono_literals;

namespace {

struct ConformanceFixture : test::TlsFixture {
  ConformanceFixture() {
    issue("n1", "node/n1");
    used = &add("n1");
  }
  env::Transport& transport() { return *used; }
  std::string listen_address() { return "127.0.0.1:0"; }
  env::TcpTransport* used = nullptr;
};

// A server n1 that listens; clients try it.
struct ServerFixture : test::TlsFixture {
  explicit ServerFixture(env::TcpTransportOptions options = {}) {
    issue("n1", "node/n1");
    server = &add("n1", std::move(options));
    listener = server->listen("127.0.0.1:0").value();
  }
  Task<Result<>> try_connect(env::Transport& client) {
    auto connected = co_await client.connect(listener->address(), 5s);
    if (!connected.ok()) co_return std::move(connected).error();
    auto accepted = co_await listener->accept();
    if (!accepted.ok()) co_return std::move(accepted).error();
    client_peer = (*connected)->peer();
    server_peer = (*accepted)->peer();
    co_return Result<>{};
  }
  Result<> connect_once(env::Transport& client) {
    std::optional<Result<>> outcome;
    const auto body = [&]() -> Task<void> { outcome = co_await try_connect(client); };
    run(body());
    return *outcome;
  }
  // Lets the server end what it has begun.
  void settle() {
    const auto body = [&]() -> Task<void> {
      while (server->connection_count() > 0) co_await env::sleep_for(loop(), 1ms);
    };
    run(body());
  }
  int plain_socket() const {
    const auto to = env::resolve(listener->address(), false).value().front();
    const int fd = ::socket(to.family(), SOCK_STREAM, 0);
    REQUIRE(::connect(fd, to.get(), to.size) == 0);
    return fd;
  }

  env::TcpTransport* server = nullptr;
  std::unique_ptr<env::Listener> listener;
  env::PeerIdentity client_peer, server_peer;
};

// Plain OpenSSL on a blocking socket: may break the rules that our transport keeps.
class RawClient {
 public:
  RawClient() : context_(SSL_CTX_new(TLS_client_method())) {}
  void use(const env::TlsConfig& config) {
    SSL_CTX_use_certificate_file(context_.get(), config.certificate_path.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context_.get(), config.key_path.c_str(), SSL_FILETYPE_PEM);
  }
  void limit_to_tls_1_2() { SSL_CTX_set_max_proto_version(context_.get(), TLS1_2_VERSION); }
  void try_once(int fd) {
    const env::SslHandle ssl(SSL_new(context_.get()));
    SSL_set_fd(ssl.get(), fd);
    char byte = 0;
    welcomed_ = SSL_connect(ssl.get()) == 1 && SSL_read(ssl.get(), &byte, 1) == 1;
    ERR_clear_error();
    ::close(fd);
  }
  bool welcomed() const { return welcomed_; }

 private:
  env::SslContextHandle context_;
  bool welcomed_ = false;
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("TCP with TLS keeps the contract of transports", "[threads]") {
  ConformanceFixture fixture;
  conformance::check_transport(fixture);
}

TEST_CASE("each end knows whom the other's certificate names", "[threads]") {
  ServerFixture fixture;
  fixture.issue("app7", "client/app7");
  auto& client = fixture.add("app7");
  CHECK(client.own().subject == "client/app7");
  REQUIRE(fixture.connect_once(client).ok());
  CHECK(fixture.client_peer.cell == test::kCell);
  CHECK(fixture.client_peer.subject == "node/n1");
  CHECK(fixture.server_peer.subject == "client/app7");
  CHECK(fixture.refused().empty());
}

TEST_CASE("a certificate that is not of this cell lets nobody in, and both ends hear why",
          "[threads]") {
  ServerFixture fixture;
  const auto now = fixture.loop().wall();
  const std::int64_t day = 86'400'000'000'000;
  fixture.make_authority_files("other-ca");
  std::string expected;
  auto config = fixture.config("bad");
  SECTION("another authority") {
    fixture.issue("bad", env::identity_uri(test::kCell, "node/n2"), fixture.valid(), "other-ca");
    expected = "unable to get local issuer certificate";
  }
  SECTION("expired") {
    fixture.issue("bad", env::identity_uri(test::kCell, "node/n2"),
                  {{now.ns - 2 * day}, {now.ns - day}});
    expected = "certificate has expired";
  }
  SECTION("not yet valid") {
    fixture.issue("bad", env::identity_uri(test::kCell, "node/n2"),
                  {{now.ns + day}, {now.ns + 2 * day}});
    expected = "certificate is not yet valid";
  }
  SECTION("another cell, same authority") {
    fixture.issue("bad", env::identity_uri(test::kOtherCell, "node/n2"), fixture.valid());
    config.cell = test::kOtherCell;
    expected = "certificate is of cell 11111111";
  }
  auto made = fixture.make(config);
  INFO((made.ok() ? std::string() : made.error().message));
  REQUIRE(made.ok());
  const auto outcome = fixture.connect_once(**made);
  REQUIRE_FALSE(outcome.ok());
  INFO(outcome.error().message);
  CHECK(outcome.code() == Code::kDenied);
  fixture.settle();
  REQUIRE(fixture.refused().size() == 1);
  INFO(fixture.refused()[0].message);
  CHECK(fixture.refused()[0].code == Code::kDenied);
  if (config.cell == test::kCell) {
    CHECK(contains(outcome.error().message, "the peer refused our certificate"));
    CHECK(contains(fixture.refused()[0].message, expected));
  } else {
    // The client is the first to look, and refuses the server in the same way.
    CHECK(contains(outcome.error().message, "certificate is of cell 6f1c1f0e"));
    CHECK(contains(fixture.refused()[0].message, "the peer refused our certificate"));
  }
}

TEST_CASE("certificates that cannot serve are refused at the start, and the reason names them",
          "[threads]") {
  test::TlsFixture fixture;
  fixture.issue("n1", "node/n1");
  fixture.issue("n2", "node/n2");
  const auto why = [&](const env::TlsConfig& config, Code code, std::string_view part) {
    const auto made = fixture.make(config);
    REQUIRE_FALSE(made.ok());
    INFO(made.error().message);
    CHECK(made.code() == code);
    CHECK(contains(made.error().message, part));
  };
  auto config = fixture.config("n1");
  SECTION("no file") {
    config.key_path = fixture.folder().path("none");
    why(config, Code::kNotFound, "none");
  }
  SECTION("another's key") {
    config.key_path = fixture.config("n2").key_path;
    why(config, Code::kInvalid, "does not fit");
  }
  SECTION("no PEM in the certificate") {
    config.certificate_path = config.key_path;
    why(config, Code::kInvalid, "our certificate is not one in PEM");
  }
  SECTION("no PEM in the key") {
    config.key_path = config.certificate_path;
    why(config, Code::kInvalid, "our key is not one in PEM");
  }
  SECTION("no authority") {
    config.authority_path = config.key_path;
    why(config, Code::kInvalid, "no certificate among the authorities");
  }
  SECTION("no identity") {
    fixture.issue("n1", "", fixture.valid());
    why(config, Code::kInvalid, "no square:// identity");
  }
  SECTION("a malformed identity") {
    fixture.issue("n1", "square://cell-without-subject", fixture.valid());
    why(config, Code::kInvalid, "malformed identity");
  }
  SECTION("another cell's identity") {
    fixture.issue("n1", env::identity_uri(test::kOtherCell, "node/n2"), fixture.valid());
    why(config, Code::kInvalid, "our certificate is of cell 11111111");
  }
}

TEST_CASE("a client that our own transport would not be is refused by the server", "[threads]") {
  ServerFixture fixture;
  RawClient client;
  std::string expected;
  SECTION("no certificate") { expected = "the peer has shown no certificate"; }
  SECTION("a certificate without identity") {
    fixture.issue("bad", "", fixture.valid());
    client.use(fixture.config("bad"));
    expected = "certificate has no square:// identity";
  }
  SECTION("a malformed identity") {
    fixture.issue("bad", "square:///node/n1", fixture.valid());
    client.use(fixture.config("bad"));
    expected = "malformed identity";
  }
  SECTION("another cell") {
    fixture.issue("bad", env::identity_uri(test::kOtherCell, "node/n1"), fixture.valid());
    client.use(fixture.config("bad"));
    expected = "certificate is of cell 11111111";
  }
  SECTION("signed by itself") {
    fixture.write("bad", env::make_authority("self", fixture.valid()).value());
    client.use(fixture.config("bad"));
    expected = "self-signed certificate";
  }
  SECTION("an old TLS") {
    fixture.issue("good", "node/n2");
    client.use(fixture.config("good"));
    client.limit_to_tls_1_2();
    expected = "protocol";
  }
  std::thread thread([&, fd = fixture.plain_socket()] { client.try_once(fd); });
  const auto until_refused = [&]() -> Task<void> {
    while (fixture.refused().empty()) co_await env::sleep_for(fixture.loop(), 1ms);
  };
  fixture.run(until_refused());
  fixture.settle();
  thread.join();
  INFO(fixture.refused()[0].message);
  CHECK(contains(fixture.refused()[0].message, expected));
  CHECK_FALSE(client.welcomed());
}

TEST_CASE("a reload of certificates is for new connections, and a bad one changes nothing",
          "[threads]") {
  ServerFixture fixture;
  fixture.issue("n4", "node/n4");
  auto& client = fixture.add("n4");
  REQUIRE(fixture.connect_once(client).ok());
  SECTION("a bad certificate") {
    fixture.issue("n4", "", fixture.valid());
    CHECK(client.reload().code() == Code::kInvalid);
    CHECK(fixture.connect_once(client).ok());
  }
  SECTION("a good certificate") {
    fixture.issue("n4", "node/renamed");
    REQUIRE(fixture.connect_once(client).ok());
    CHECK(fixture.server_peer.subject == "node/n4");
    REQUIRE(client.reload().ok());
    REQUIRE(fixture.connect_once(client).ok());
    CHECK(fixture.server_peer.subject == "node/renamed");
  }
}

TEST_CASE("what does not speak TLS is dropped, and the listener goes on", "[threads]") {
  ServerFixture fixture(env::TcpTransportOptions{.handshake_deadline = 50ms});
  fixture.issue("n2", "node/n2");
  auto& client = fixture.add("n2");
  const int fd = fixture.plain_socket();
  SECTION("garbage") {
    const std::string garbage = "GET / HTTP/1.1\r\n\r\n" + std::string(100000, 'x');
    REQUIRE(::send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL) > 0);
  }
  SECTION("an end at once") { ::shutdown(fd, SHUT_RDWR); }
  SECTION("silence") {}
  CHECK(fixture.connect_once(client).ok());
  fixture.settle();
  REQUIRE(fixture.refused().size() == 1);
  CHECK((fixture.refused()[0].code == Code::kUnavailable ||
         fixture.refused()[0].code == Code::kTimeout));
  ::close(fd);
  CHECK(fixture.connect_once(client).ok());
}

TEST_CASE("more connections than allowed are closed at once, and ended ones make room",
          "[threads]") {
  env::TcpTransportOptions options;
  SECTION("alive") { options.connections_max = 2; }
  SECTION("in the handshake") { options.half_open_max = 2; }
  ServerFixture fixture(options);
  fixture.issue("n2", "node/n2");
  auto& client = fixture.add("n2");
  const int first = fixture.plain_socket(), second = fixture.plain_socket();
  const auto refused = fixture.connect_once(client);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.code() == Code::kUnavailable);
  REQUIRE(fixture.refused().size() == 1);
  CHECK(fixture.refused()[0].code == Code::kBusy);
  ::close(first);
  ::close(second);
  fixture.settle();
  CHECK(fixture.connect_once(client).ok());
}

// UBSan's own look at an object's type takes a pipe, and calls the object broken when there is
// none: this one runs under the thread sanitizer and in plain builds.
#if !__has_feature(undefined_behavior_sanitizer)
TEST_CASE("a listener outlives a shortage of file descriptors", "[threads]") {
  ServerFixture fixture;
  const int fd = fixture.plain_socket();  // waits to be accepted
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto until_refused = [&]() -> Task<void> {
    while (fixture.refused().empty()) co_await env::sleep_for(fixture.loop(), 1ms);
  };
  fixture.run(until_refused());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(fixture.refused()[0].code == Code::kBusy);
  ::close(fd);
  fixture.issue("n2", "node/n2");
  CHECK(fixture.connect_once(fixture.add("n2")).ok());
}
#endif

TEST_CASE("a server that accepts and says nothing runs into the client's time limit", "[threads]") {
  test::TlsFixture fixture;
  fixture.issue("n1", "node/n1");
  auto& client = fixture.add("n1");
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  REQUIRE(::listen(fd, 8) == 0);
  const auto body = [&]() -> Task<void> {
    const auto address = env::to_text(env::local_address(fd));
    CHECK((co_await client.connect(address, 30ms)).code() == Code::kTimeout);
  };
  fixture.run(body());
  ::close(fd);
}

TEST_CASE("addresses that make no sense are refused", "[threads]") {
  test::TlsFixture fixture;
  fixture.issue("n1", "node/n1");
  auto& transport = fixture.add("n1");
  for (const auto* bad : {"", "host", ":80", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "::1:80"}) {
    INFO(bad);
    CHECK(transport.listen(bad).code() == Code::kInvalid);
  }
  const auto first = transport.listen("127.0.0.1:0");
  REQUIRE(first.ok());
  CHECK(transport.listen((*first)->address()).code() == Code::kBusy);
  CHECK(transport.listen("[::1]:0").ok());
}

TEST_CASE("a peer that resets the connection is an error, not an end", "[threads]") {
  ConformanceFixture fixture;
  const auto body = [&]() -> Task<void> {
    auto pair = co_await conformance::connect_pair(fixture);
    ByteVector space(100);
    // Bytes that the client never reads turn its close into a reset.
    BufferChain chain{Buffer::zeroed(5000)};
    CHECK((co_await pair.server->write(chain)).ok());
    pair.client.reset();
    Result<> written;
    for (int i = 0; i < 1000 && written.ok(); ++i) {
      written = co_await pair.server->write(chain);
      co_await env::yield(fixture.loop());
    }
    REQUIRE_FALSE(written.ok());
    CHECK(written.code() == Code::kUnavailable);
  };
  fixture.run(body());
}

TEST_CASE("close wakes a writer whose peer does not read", "[threads]") {
  ConformanceFixture fixture;
  const auto body = [&]() -> Task<void> {
    auto pair = co_await conformance::connect_pair(fixture);
    fixture.loop().add_timer(fixture.loop().now() + 20ms, [&] { pair.client->close(); });
    BufferChain chain{Buffer::zeroed(64 << 20)};
    CHECK((co_await pair.client->write(chain)).code() == Code::kCancelled);
  };
  fixture.run(body());
}

TEST_CASE("a certificate is valid from its first to its last second") {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const env::WallTime from{1'700'000'000 * kSecond}, until{1'700'001'000 * kSecond};
  const auto pem = env::make_authority("a", {from, until}).value().certificate;
  const auto at = [&](std::int64_t seconds) {
    return env::check_validity("a.crt", pem, {from.ns + seconds * kSecond});
  };
  CHECK(at(0).ok());
  CHECK(at(1000).ok());
  CHECK(at(-1).code() == Code::kDenied);
  CHECK(at(1001).code() == Code::kDenied);
  CHECK(at(1001).error().message.find("a.crt expired at 2023-11-14T22:30:00Z") !=
        std::string::npos);
  CHECK(env::check_validity("b.crt", "nonsense", from).code() == Code::kInvalid);
}

TEST_CASE("keys are written for their owner's eyes only", "[threads]") {
  test::TlsFixture fixture;
  struct stat st{};
  REQUIRE(::stat(fixture.folder().path("ca.key").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  env::CertificateOrder order;
  order.addresses = {"not an address"};
  order.validity = fixture.valid();
  const auto authority = env::make_authority("ca", fixture.valid()).value();
  CHECK(env::issue_certificate(authority, order).code() == Code::kInvalid);
  CHECK(env::issue_certificate({"no", "pem"}, order).code() == Code::kInvalid);
  CHECK(env::issue_certificate({authority.certificate, "no pem"}, order).code() == Code::kInvalid);
}
