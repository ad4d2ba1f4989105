#pragma once
// The real Transport: TCP with mutual TLS 1.3. After the handshake the accepting end sends one
// byte, so that the connecting end learns whether its certificate was taken before connect()
// returns.

#include <functional>
#include <memory>
#include <string>

#include "env/files.hpp"
#include "env/real/asio_loop.hpp"
#include "env/transport.hpp"

namespace square::env {

// PEM files. The identity of an end is in its certificate, as a URI: square://CELL/SUBJECT.
struct TlsConfig {
  std::string authority_path;
  std::string certificate_path;
  std::string key_path;
  std::string cell;  // uuid; certificates of other cells are refused
};

struct TcpTransportOptions {
  std::size_t connections_max = 1024;  // accepted and alive; more are closed at once
  std::size_t half_open_max = 128;     // accepted and not through the handshake
  Duration handshake_deadline = std::chrono::seconds(10);
  // Told of each connection that was not let in: who, and why.
  std::function<void(const std::string& address, const Error& why)> on_refused{};
};

class TcpTransport final : public Transport {
 public:
  // Errors: kNotFound, kDenied, kInvalid (names the file and what is wrong with it).
  static Result<std::unique_ptr<TcpTransport>> create(AsioLoop& loop, Files& files,
                                                      TlsConfig config,
                                                      TcpTransportOptions options = {});
  // After stop(), or on an ending loop.
  ~TcpTransport() override;

  // Reads the certificates again, for connections that are made from now on. After an error the
  // old ones stay.
  Result<> reload();
  // Whom our certificate names.
  const PeerIdentity& own() const;
  // Closes the listeners and what is in a handshake, and waits for them. Connections live on.
  Task<void> stop();

  Result<std::unique_ptr<Listener>> listen(const std::string& address) override;
  Async<std::unique_ptr<Connection>> connect(std::string address, Duration timeout) override;

  std::size_t connection_count() const;  // accepted, in or after the handshake

 private:
  struct Core;
  explicit TcpTransport(std::unique_ptr<Core> core);

  std::unique_ptr<Core> core_;
};

}  // namespace square::env
