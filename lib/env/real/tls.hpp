#pragma once
// TLS 1.3 with certificates on both ends, without sockets: bytes of the network in, bytes for the
// network out. OpenSSL is driven directly; an Asio ssl::stream costs a quarter more CPU.

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "env/transport.hpp"

namespace square::env {

struct TlsPems {
  std::string authorities;  // one or more
  std::string certificate;  // and what is between it and the authority
  std::string key;
};

// What connections of one configuration share. Immutable: a reload makes another one, and the
// connections that live keep theirs.
class TlsContext {
 public:
  // `cell`: peers of other cells are refused. Errors: kInvalid (says which part and why).
  static Result<std::shared_ptr<const TlsContext>> create(const TlsPems& pems, std::string cell);
  ~TlsContext();
  const PeerIdentity& own() const;  // whom our own certificate names

  struct Impl;
  explicit TlsContext(std::unique_ptr<Impl> impl);
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// One end of one connection.
class TlsSession {
 public:
  enum class Role : std::uint8_t { kClient, kServer };
  enum class Step : std::uint8_t { kDone, kWantsInput, kEnded };

  TlsSession(std::shared_ptr<const TlsContext> context, Role role);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;

  // kDone: both ends know each other; peer() is set. Errors: kDenied (a certificate was refused;
  // says whose and why), kUnavailable (not TLS, or broken). Output may wait after any outcome.
  Result<Step> handshake();
  const PeerIdentity& peer() const;

  // Opens what has come in, as much as is there and fits. kDone: `size` bytes, at least one.
  // kEnded: the peer ended the stream in order. Errors: as handshake().
  Result<Step> open(MutableBytes into, std::size_t& size);
  // Seals into output(). One call makes full records and one short one.
  Result<> seal(Bytes bytes);
  // Announces the end.
  void seal_end();

  // Room for bytes of the network; what has been filled is handed over by took_in().
  // Only when the session wants input.
  MutableBytes input_space();
  void took_in(std::size_t size);

  Bytes output() const;
  void sent(std::size_t size);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace square::env
