#include "format/wire_stream.hpp"

#include <algorithm>
#include <cstring>

namespace square::format::wire {

namespace {

constexpr std::size_t kReadAheadBytes = 16u << 10;
constexpr std::size_t kBatchBytesMax = 2u << 20;

BufferChain chain_of(const Bytes headers, std::size_t& from, std::size_t to, BufferChain chain) {
  if (to > from) chain.push_back(Buffer::copy_of(headers.subspan(from, to - from)));
  from = to;
  return chain;
}

}  // namespace

Deadline::Deadline(env::Loop& loop, env::Connection& connection, env::Duration duration)
    : loop_(loop),
      timer_(loop.add_timer(loop.now() + duration, [&connection] { connection.close(); })) {}

WireReader::WireReader(env::Connection& connection)
    : connection_(connection), buffered_(kReadAheadBytes) {}

Async<bool> WireReader::fill(MutableBytes into) {
  std::size_t done = 0;
  while (done < into.size()) {
    if (begin_ == end_ && into.size() - done >= buffered_.size()) {
      SQ_CO_TRY(const auto got, co_await connection_.read_some(into.subspan(done)));
      if (got == 0) break;
      done += got;
      continue;
    }
    if (begin_ == end_) {
      SQ_CO_TRY(const auto got, co_await connection_.read_some(buffered_));
      if (got == 0) break;
      begin_ = 0;
      end_ = got;
    }
    const auto part = std::min(end_ - begin_, into.size() - done);
    std::memcpy(into.data() + done, buffered_.data() + begin_, part);
    begin_ += part;
    done += part;
  }
  if (done == 0 && !into.empty()) co_return false;
  if (done < into.size()) co_return Error{Code::kCorrupt, "the connection ended inside a message"};
  co_return true;
}

Async<Prologue> WireReader::prologue() {
  std::array<std::byte, kPrologueBytes> bytes;
  SQ_CO_TRY(const bool there, co_await fill(bytes));
  if (!there) co_return Error{Code::kUnavailable, "the peer closed the connection at once"};
  co_return decode_prologue(bytes);
}

Async<std::optional<Incoming>> WireReader::next() {
  std::array<std::byte, kFrameBytes> bytes;
  SQ_CO_TRY(const bool there, co_await fill(bytes));
  if (!there) co_return std::optional<Incoming>();
  Incoming message;
  SQ_CO_TRY(message.frame, decode_frame(bytes));
  message.header.resize(message.frame.header_bytes);
  SQ_CO_TRY(const bool whole, co_await fill(message.header));
  if (!whole && !message.header.empty())
    co_return Error{Code::kCorrupt, "the connection ended inside a message"};
  co_return std::optional(std::move(message));
}

Async<Buffer> WireReader::payload(std::uint32_t size) {
  auto buffer = Buffer::allocate(size);
  SQ_CO_TRY(const bool whole, co_await fill(buffer.bytes()));
  if (!whole && size != 0) co_return Error{Code::kCorrupt, "the connection ended inside a message"};
  co_return buffer;
}

WireWriter::WireWriter(env::Loop& loop, env::Connection& connection, env::Duration stall_max)
    : loop_(loop), connection_(connection), stall_max_(stall_max), wake_(loop) {}

void WireWriter::send(Frame frame, ByteVector header, Buffer payload, std::function<void()> gone) {
  frame.header_bytes = static_cast<std::uint32_t>(header.size());
  frame.payload_bytes = static_cast<std::uint32_t>(payload.size());
  SQ_CHECK(header.size() <= kHeaderBytesMax && payload.size() <= kPayloadBytesMax);
  if (failed_) {
    if (gone) gone();
    return;
  }
  queue_.push_back({frame, std::move(header), std::move(payload), std::move(gone)});
  wake_.set();
}

void WireWriter::close() {
  closed_ = true;
  wake_.set();
}

std::vector<WireWriter::Outgoing> WireWriter::take_batch() {
  std::vector<Outgoing> batch;
  std::size_t bytes = 0;
  while (!queue_.empty() && bytes < kBatchBytesMax) {
    bytes += queue_.front().header.size() + queue_.front().payload.size();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

Task<void> WireWriter::run() {
  while (!failed_) {
    if (queue_.empty()) {
      if (closed_) co_return;
      wake_.reset();
      co_await wake_.wait();
      continue;
    }
    auto batch = take_batch();
    ByteVector headers;  // of all messages up to the next payload, as one buffer
    std::size_t from = 0;
    BufferChain chain;
    Writer out(headers);
    for (auto& message : batch) {
      put(out, message.frame);
      out.put_raw(message.header);
      if (message.payload.empty()) continue;
      chain = chain_of(headers, from, headers.size(), std::move(chain));
      chain.push_back(message.payload);
    }
    chain = chain_of(headers, from, headers.size(), std::move(chain));
    Result<> written;
    {
      Deadline deadline(loop_, connection_, stall_max_);
      written = co_await connection_.write(std::move(chain));
    }
    for (auto& message : batch)
      if (message.gone) message.gone();
    if (!written.ok()) failed_ = true;
  }
  connection_.close();
  for (auto& message : std::exchange(queue_, {}))
    if (message.gone) message.gone();
}

}  // namespace square::format::wire
