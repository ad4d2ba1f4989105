#pragma once
// Frames over an env::Connection, for both ends. A payload is read straight into its Buffer and
// written straight from it; only headers are copied.

#include <deque>
#include <functional>

#include "env/sync.hpp"
#include "env/transport.hpp"
#include "format/wire.hpp"

namespace square::format::wire {

// Closes a connection that does not get on in time. Lives on the stack around a co_await.
class Deadline {
 public:
  Deadline(env::Loop& loop, env::Connection& connection, env::Duration duration);
  ~Deadline() { loop_.cancel_timer(timer_); }
  Deadline(const Deadline&) = delete;

 private:
  env::Loop& loop_;
  env::Loop::TimerId timer_;
};

struct Incoming {
  Frame frame;
  ByteVector header;
};

// One reader at a time.
class WireReader {
 public:
  explicit WireReader(env::Connection& connection);
  // Errors: kCorrupt, and as Connection::read_some.
  Async<Prologue> prologue();
  // Frame and header of the next message, or nothing at a clean end of the stream. The caller reads
  // `payload_bytes` by payload() before it asks again. Errors: kCorrupt (also a stream that ends
  // inside a message), and as Connection::read_some.
  Async<std::optional<Incoming>> next();
  Async<Buffer> payload(std::uint32_t size);

 private:
  // False: the stream ended before the first byte.
  Async<bool> fill(MutableBytes into);

  env::Connection& connection_;
  ByteVector buffered_;  // small reads go through here
  std::size_t begin_ = 0, end_ = 0;
};

// Sends whole messages in the order of send(). What gathers while a write is on its way leaves with
// the next one.
class WireWriter {
 public:
  // A single write that takes longer than `stall_max` closes the connection.
  WireWriter(env::Loop& loop, env::Connection& connection, env::Duration stall_max);
  // Never waits. `gone` runs once the message was handed to the network, or never will be.
  void send(Frame frame, ByteVector header, Buffer payload, std::function<void()> gone = {});
  // Until close() and everything was sent, or the connection failed (it is closed then).
  Task<void> run();
  void close();
  bool failed() const { return failed_; }

 private:
  struct Outgoing {
    Frame frame;
    ByteVector header;
    Buffer payload;
    std::function<void()> gone;
  };
  std::vector<Outgoing> take_batch();

  env::Loop& loop_;
  env::Connection& connection_;
  env::Duration stall_max_;
  env::Event wake_;
  std::deque<Outgoing> queue_;
  bool closed_ = false, failed_ = false;
};

}  // namespace square::format::wire
