#pragma once
// Byte streams between authenticated ends. The real one is TCP with mutual TLS 1.3.

#include <memory>
#include <string>

#include "base/buffer.hpp"
#include "env/loop.hpp"

namespace square::env {

// Whom the certificate names. Empty strings on an unauthenticated (simulated) transport.
struct PeerIdentity {
  std::string cell;     // cell uuid
  std::string subject;  // "node/n1", "client/app7", "operator/alice"
};

class Connection {
 public:
  virtual ~Connection() = default;
  virtual const PeerIdentity& peer() const = 0;
  // Reads between 1 and into.size() bytes; 0 at the end of the stream. One read at a time.
  // Errors: kUnavailable (reset, TLS failure), kCancelled (closed here).
  virtual Async<std::size_t> read_some(MutableBytes into) = 0;
  // Writes all, in order; one write at a time. The buffers are held until then. Errors as above.
  virtual Async<> write(BufferChain chain) = 0;
  // Ends both directions; what waits gets kCancelled. May be called again.
  virtual void close() = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual std::string address() const = 0;  // with the port that was chosen for ":0"
  // Only connections that finished the handshake. Errors: kCancelled after close().
  virtual Async<std::unique_ptr<Connection>> accept() = 0;
  virtual void close() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // "host:port". Errors: kInvalid (address), kBusy (port taken), kDenied.
  virtual Result<std::unique_ptr<Listener>> listen(const std::string& address) = 0;
  // Errors: kUnavailable, kTimeout, kDenied (the peer's or our certificate was refused; says why).
  virtual Async<std::unique_ptr<Connection>> connect(std::string address, Duration timeout) = 0;
};

}  // namespace square::env
