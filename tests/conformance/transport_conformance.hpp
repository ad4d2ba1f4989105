#pragma once
// What every Transport must do: the real and the simulated one pass the same cases.
//
// A Fixture has:  env::Loop& loop();
//                 void run(Task<void> task);        // runs the loop until the task has ended
//                 env::Transport& transport();
//                 std::string listen_address();     // free to listen on

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "env/sync.hpp"
#include "env/transport.hpp"

namespace square::conformance {

struct ConnectionPair {
  std::unique_ptr<env::Listener> listener;
  std::unique_ptr<env::Connection> client, server;
};

namespace detail {

inline Task<void> accept_into(env::Listener& listener, std::unique_ptr<env::Connection>& into) {
  auto accepted = co_await listener.accept();
  if (accepted.ok()) into = std::move(accepted).value();
}

inline ByteVector numbered_bytes(std::size_t size) {
  ByteVector bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 257);
  return bytes;
}

// Everything until the end of the stream comes back.
inline Task<void> echo(env::Connection& connection) {
  ByteVector space(40000);
  for (;;) {
    const auto got = co_await connection.read_some(space);
    if (!got.ok() || *got == 0) co_return;
    BufferChain chain{Buffer::copy_of(Bytes(space).first(*got))};
    const auto sent = co_await connection.write(std::move(chain));
    if (!sent.ok()) co_return;
  }
}

inline Task<void> write_bytes(env::Connection& connection, ByteVector bytes, std::size_t piece,
                              int& failures) {
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const auto part = Bytes(bytes).subspan(at, std::min(piece, bytes.size() - at));
    BufferChain chain{Buffer::copy_of(part)};
    const auto written = co_await connection.write(std::move(chain));
    if (!written.ok()) {
      ++failures;
      co_return;
    }
  }
}

inline Task<void> expect_bytes(env::Connection& connection, ByteVector expected, int& failures) {
  ByteVector space(100000);
  std::size_t at = 0;
  while (at < expected.size()) {
    const auto got = co_await connection.read_some(space);
    if (!got.ok() || *got == 0 || at + *got > expected.size() ||
        std::memcmp(space.data(), expected.data() + at, *got) != 0) {
      ++failures;
      co_return;
    }
    at += *got;
  }
}

inline Task<void> note_read(env::Connection& connection, std::optional<Result<std::size_t>>& into) {
  ByteVector space(100);
  into = co_await connection.read_some(space);
}

inline Task<void> note_accept(env::Listener& listener, std::optional<Code>& into) {
  const auto accepted = co_await listener.accept();
  if (!accepted.ok()) into = accepted.code();
}

}  // namespace detail

template <class Fixture>
Task<ConnectionPair> connect_pair(Fixture& fixture) {
  ConnectionPair pair;
  auto listener = fixture.transport().listen(fixture.listen_address());
  REQUIRE(listener.ok());
  pair.listener = std::move(listener).value();
  env::Scope scope(fixture.loop());
  scope.spawn(detail::accept_into(*pair.listener, pair.server));
  auto client =
      co_await fixture.transport().connect(pair.listener->address(), std::chrono::seconds(10));
  INFO((client.ok() ? std::string() : client.error().message));
  REQUIRE(client.ok());
  pair.client = std::move(client).value();
  co_await scope.join();
  REQUIRE(pair.server != nullptr);
  co_return pair;
}

template <class Fixture>
void check_echo(Fixture& fixture, std::size_t size, std::size_t piece) {
  int failures = 0;
  const auto body = [&]() -> Task<void> {
    auto pair = co_await connect_pair(fixture);
    const auto bytes = detail::numbered_bytes(size);
    env::Scope echoing(fixture.loop()), scope(fixture.loop());
    echoing.spawn(detail::echo(*pair.server));
    scope.spawn(detail::write_bytes(*pair.client, bytes, piece, failures));
    scope.spawn(detail::expect_bytes(*pair.client, bytes, failures));
    co_await scope.join();
    pair.client->close();
    co_await echoing.join();
  };
  fixture.run(body());
  CHECK(failures == 0);
}

template <class Fixture>
void check_scattered_write(Fixture& fixture) {
  int failures = 0;
  const auto body = [&]() -> Task<void> {
    auto pair = co_await connect_pair(fixture);
    const auto bytes = detail::numbered_bytes(300000);
    BufferChain chain;
    std::size_t at = 0;
    for (std::size_t piece = 1; at < bytes.size(); piece = piece * 3 + 1) {
      const auto part = Bytes(bytes).subspan(at, std::min(piece, bytes.size() - at));
      chain.push_back(Buffer::copy_of(part));
      at += part.size();
    }
    env::Scope scope(fixture.loop());
    scope.spawn(detail::expect_bytes(*pair.server, bytes, failures));
    CHECK((co_await pair.client->write(std::move(chain))).ok());
    co_await scope.join();
  };
  fixture.run(body());
  CHECK(failures == 0);
}

template <class Fixture>
void check_end_of_stream(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto pair = co_await connect_pair(fixture);
    std::optional<Result<std::size_t>> got;
    env::Scope scope(fixture.loop());
    scope.spawn(detail::note_read(*pair.server, got));
    pair.client->close();
    co_await scope.join();
    // An orderly end is 0; an end that cuts the stream is an error. Never bytes.
    REQUIRE(got.has_value());
    CHECK((got->ok() ? **got == 0 : got->code() == Code::kUnavailable));
  };
  fixture.run(body());
}

template <class Fixture>
void check_close_wakes_the_reader(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto pair = co_await connect_pair(fixture);
    std::optional<Result<std::size_t>> got;
    env::Scope scope(fixture.loop());
    scope.spawn(detail::note_read(*pair.client, got));
    co_await env::yield(fixture.loop());
    co_await env::yield(fixture.loop());
    CHECK_FALSE(got.has_value());
    pair.client->close();
    pair.client->close();
    co_await scope.join();
    REQUIRE(got.has_value());
    REQUIRE_FALSE(got->ok());
    CHECK(got->code() == Code::kCancelled);
    ByteVector space(10);
    CHECK((co_await pair.client->read_some(space)).code() == Code::kCancelled);
    BufferChain chain{Buffer::zeroed(10)};
    CHECK((co_await pair.client->write(chain)).code() == Code::kCancelled);
  };
  fixture.run(body());
}

template <class Fixture>
void check_close_wakes_the_acceptor(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto listener = fixture.transport().listen(fixture.listen_address());
    REQUIRE(listener.ok());
    std::optional<Code> code;
    env::Scope scope(fixture.loop());
    scope.spawn(detail::note_accept(**listener, code));
    co_await env::yield(fixture.loop());
    (*listener)->close();
    co_await scope.join();
    CHECK(code == Code::kCancelled);
    CHECK((co_await (*listener)->accept()).code() == Code::kCancelled);
  };
  fixture.run(body());
}

template <class Fixture>
void check_nobody_listens(Fixture& fixture) {
  const auto body = [&]() -> Task<void> {
    auto listener = fixture.transport().listen(fixture.listen_address());
    REQUIRE(listener.ok());
    const auto address = (*listener)->address();
    (*listener)->close();
    listener->reset();
    const auto refused = co_await fixture.transport().connect(address, std::chrono::seconds(5));
    REQUIRE_FALSE(refused.ok());
    CHECK((refused.code() == Code::kUnavailable || refused.code() == Code::kTimeout));
  };
  fixture.run(body());
}

template <class Fixture>
void check_transport(Fixture& fixture) {
  SECTION("a MiB goes there and back") { check_echo(fixture, 1 << 20, 1 << 20); }
  SECTION("many small messages go there and back") { check_echo(fixture, 20000, 20); }
  SECTION("a single byte goes there and back") { check_echo(fixture, 1, 1); }
  SECTION("a scattered write arrives in order") { check_scattered_write(fixture); }
  SECTION("the other end's close ends the stream") { check_end_of_stream(fixture); }
  SECTION("close wakes a reader, and may be called again") {
    check_close_wakes_the_reader(fixture);
  }
  SECTION("close wakes an acceptor") { check_close_wakes_the_acceptor(fixture); }
  SECTION("connecting where nobody listens says so") { check_nobody_listens(fixture); }
}

}  // namespace square::conformance
