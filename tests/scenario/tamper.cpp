// What no honest client or disk does, for tests/scenario/bad_input_scenario.py.
//
//   square-tamper certificate AUTHORITY CELL SUBJECT OUT [expired]   OUT.crt and OUT.key, signed by
//                                                                    AUTHORITY.crt and .key
//   square-tamper newer-label DISK          its label says that a newer release wrote it
//   square-tamper requests CONFIG VOLUME    wrong requests on one raw connection; a JSON line each:
//                                           what was asked, and the node's answer. Before the last
//                                           ones it prints "ready" and waits for a line on stdin.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "client/config.hpp"
#include "codec/checksum.hpp"
#include "env/real/asio_loop.hpp"
#include "env/real/pki.hpp"
#include "env/real/posix_files.hpp"
#include "env/real/tcp_transport.hpp"
#include "env/sync.hpp"
#include "format/label.hpp"
#include "format/wire_stream.hpp"
#include "pool/layout.hpp"

namespace square {

namespace {

namespace wire = format::wire;

Result<std::string> text_of(env::Files& files, const std::string& path) {
  SQ_TRY(const auto bytes, files.read(path, 1u << 20));
  return std::string(as_text(bytes));
}

Result<> make_certificate(const std::string& authority, const std::string& cell,
                          const std::string& subject, const std::string& out, bool expired) {
  env::PosixFiles files;
  env::CertificatePair pair;
  SQ_TRY(pair.certificate, text_of(files, authority + ".crt"));
  SQ_TRY(pair.key, text_of(files, authority + ".key"));
  env::AsioLoop loop;
  const auto now = loop.wall();
  loop.begin_ending();
  env::CertificateOrder order{env::identity_uri(cell, subject), {}, {"127.0.0.1"}, {}};
  order.validity = env::Validity::days(now, 1);
  constexpr std::int64_t kHourNs = 3'600'000'000'000;
  if (expired) order.validity = {{now.ns - 48 * kHourNs}, {now.ns - 24 * kHourNs}};
  SQ_TRY(const auto issued, env::issue_certificate(pair, order));
  return env::write_certificate_pair(files, out, issued);
}

Result<> make_label_newer(const std::string& disk) {
  const int fd = open(disk.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return Error{Code::kNotFound, "cannot open " + disk};
  const auto size = static_cast<std::uint64_t>(lseek(fd, 0, SEEK_END));
  for (const auto offset : pool::label_offsets(size / kBlockBytes * kBlockBytes)) {
    ByteVector block(format::kLabelBytes);
    const auto at = static_cast<off_t>(offset);
    SQ_CHECK(pread(fd, block.data(), block.size(), at) == static_cast<ssize_t>(block.size()));
    Writer out(block);
    out.patch(8, static_cast<std::uint16_t>(format::kLabelVersion + 1));
    out.patch(block.size() - 8, codec::checksum64(Bytes(block).first(block.size() - 8)));
    SQ_CHECK(pwrite(fd, block.data(), block.size(), at) == static_cast<ssize_t>(block.size()));
  }
  fsync(fd);
  close(fd);
  return {};
}

// One connection that says whatever it is told to.
class RawClient {
 public:
  RawClient(env::Loop& loop, std::unique_ptr<env::Connection> connection)
      : connection_(std::move(connection)),
        reader_(*connection_),
        writer_(loop, *connection_, std::chrono::seconds(10)),
        tasks_(loop) {}

  Async<> greet() {
    const wire::Prologue mine;
    BufferChain hello{Buffer::copy_of(wire::encode(mine))};
    SQ_CO_TRY(co_await connection_->write(std::move(hello)));
    SQ_CO_TRY(co_await reader_.prologue());
    tasks_.spawn(writer_.run());
    co_return {};
  }

  // The node's answer; kUnavailable when it ends the connection instead.
  Async<wire::Answer> ask(wire::Request request, Buffer payload = {}) {
    const auto type = wire::type_of(request);
    writer_.send({type, false, ++last_}, wire::encode(request), std::move(payload));
    SQ_CO_TRY(auto incoming, co_await reader_.next());
    if (!incoming) co_return Error{Code::kUnavailable, "the node closed the connection"};
    SQ_CO_TRY(co_await reader_.payload(incoming->frame.payload_bytes));
    bool garbled = false;
    co_return wire::decode_reply(type, incoming->header, &garbled);
  }

  // A frame that says that more follows than any may have; nobody waits for an answer before it.
  Async<wire::Answer> ask_with_payload_of(const wire::Request& request, std::uint32_t bytes) {
    const auto header = wire::encode(request);
    ByteVector frame;
    Writer out(frame);
    wire::put(out, {wire::type_of(request), false, ++last_,
                    static_cast<std::uint32_t>(header.size()), bytes});
    out.put_raw(header);
    BufferChain chain{Buffer::copy_of(frame)};
    SQ_CO_TRY(co_await connection_->write(std::move(chain)));
    SQ_CO_TRY(const auto incoming, co_await reader_.next());
    if (incoming) co_return Error{Code::kCorrupt, "the node answered"};
    co_return Error{Code::kUnavailable, "the node closed the connection"};
  }

  Task<void> end() {
    connection_->close();
    writer_.close();
    co_await tasks_.join();
  }

 private:
  std::unique_ptr<env::Connection> connection_;
  wire::WireReader reader_;
  wire::WireWriter writer_;
  env::Scope tasks_;
  std::uint64_t last_ = 0;
};

void tell(const std::string& asked, const Result<wire::Answer>& answer) {
  const nlohmann::ordered_json line{
      {"asked", asked},
      {"code", answer.ok() ? "ok" : std::string(code_name(answer.code()))},
      {"message", answer.ok() ? "" : answer.error().message}};
  std::cout << line.dump() << std::endl;
}

wire::Write a_write(TenantId tenant, VolumeId volume, std::uint64_t offset, std::size_t size) {
  wire::Write write{tenant, {}, {}, volume, offset, {}};
  const auto zeros = Buffer::zeroed(size);
  // Whole blocks from an aligned offset: one hash for each.
  for (std::size_t at = 0; at < size; at += kBlockBytes)
    write.ingest.push_back(codec::checksum64(
        zeros.bytes().subspan(at, std::min<std::size_t>(kBlockBytes, size - at))));
  return write;
}

Async<> ask_all(RawClient& client, TenantId tenant, std::string name) {
  SQ_CO_TRY(co_await client.greet());
  wire::OpenVolume open{tenant, name, {}};
  SQ_CO_TRY(auto opened, co_await client.ask(open));
  const auto volume = std::get<wire::VolumeOpened>(opened);
  const auto end = volume.size_bytes;
  const auto block = Buffer::zeroed(kBlockBytes);

  tell("write past the end", co_await client.ask(a_write(tenant, volume.id, end, 4096), block));
  tell("write over the end",
       co_await client.ask(a_write(tenant, volume.id, end - 512, 4096), block));
  tell("write at the end of all numbers",
       co_await client.ask(a_write(tenant, volume.id, UINT64_MAX - 511, 4096), block));
  tell("write at an odd offset", co_await client.ask(a_write(tenant, volume.id, 100, 4096), block));
  auto damaged = a_write(tenant, volume.id, 0, 4096);
  damaged.ingest[0] ^= 1;
  tell("write of damaged bytes", co_await client.ask(damaged, block));
  tell("write of nothing", co_await client.ask(a_write(tenant, volume.id, 0, 0)));
  tell("read past the end", co_await client.ask(wire::Read{tenant, volume.id, end, 4096, {}}));
  tell("read of 2 MiB", co_await client.ask(wire::Read{tenant, volume.id, 0, 2u << 20, {}}));
  tell("zero past the end",
       co_await client.ask(wire::Zero{tenant, {}, {}, volume.id, end - 512, 1024}));
  tell("block status past the end",
       co_await client.ask(wire::BlockStatus{tenant, volume.id, end, 4096, 10, {}}));
  tell("read of a volume that was not opened",
       co_await client.ask(wire::Read{tenant, VolumeId(volume.id.value + 1000), 0, 4096, {}}));
  tell("open of another tenant's volume",
       co_await client.ask(wire::OpenVolume{TenantId(tenant.value + 1), name, {}}));
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);  // nothing else happens on this loop meanwhile
  tell("write to a volume that is gone",
       co_await client.ask(a_write(tenant, volume.id, 0, 4096), block));
  tell("read of a volume that is gone",
       co_await client.ask(wire::Read{tenant, volume.id, 0, 4096, {}}));
  const wire::Request large = a_write(tenant, volume.id, 0, 4096);
  tell("a write of 2 MiB", co_await client.ask_with_payload_of(large, 2u << 20));
  co_return {};
}

Task<void> run_requests(env::AsioLoop& loop, env::TcpTransport& transport, std::string address,
                        TenantId tenant, std::string name, Result<>& out) {
  auto connection = co_await transport.connect(address, std::chrono::seconds(10));
  if (connection.ok()) {
    RawClient client(loop, std::move(connection).value());
    out = co_await ask_all(client, tenant, std::move(name));
    co_await client.end();
  } else {
    out = std::move(connection).error();
  }
  co_await transport.stop();
  loop.post([&loop] { loop.stop(); });
}

Result<> send_requests(const std::string& config_file, const std::string& name) {
  SQ_TRY(const auto config, client::read_config(config_file));
  env::AsioLoop loop;
  env::PosixFiles files;
  SQ_TRY(auto transport,
         env::TcpTransport::create(
             loop, files, {config.tls_ca, config.tls_certificate, config.tls_key, config.cell}));
  Result<> out;
  env::Scope scope(loop);
  scope.spawn(run_requests(loop, *transport, config.data.front(), config.tenant, name, out));
  loop.run();
  return out;
}

Result<> work(const std::vector<std::string>& words) {
  const auto command = words.empty() ? std::string() : words[0];
  if (command == "certificate" && words.size() >= 5)
    return make_certificate(words[1], words[2], words[3], words[4], words.size() > 5);
  if (command == "newer-label" && words.size() == 2) return make_label_newer(words[1]);
  if (command == "requests" && words.size() == 3) return send_requests(words[1], words[2]);
  return Error{Code::kInvalid, "usage: see the head of tests/scenario/tamper.cpp"};
}

}  // namespace

}  // namespace square

int main(int argc, char** argv) {
  const auto done = square::work({argv + 1, argv + argc});
  if (done.ok()) return 0;
  std::fprintf(stderr, "square-tamper: %s\n", done.error().message.c_str());
  return 1;
}
