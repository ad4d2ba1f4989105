#include "bench/load.hpp"

namespace square::bench {

Offsets sequential(std::uint64_t request_bytes) {
  return [request_bytes](std::uint64_t i) { return i * request_bytes; };
}

Offsets at_random(std::uint64_t volume_bytes, std::uint64_t request_bytes, std::uint64_t seed) {
  return [random = Random(seed), places = volume_bytes / request_bytes,
          request_bytes](std::uint64_t) mutable { return random() % places * request_bytes; };
}

namespace {

constexpr auto kFullPause = std::chrono::milliseconds(5);
constexpr int kFullAttemptsMax = 2000;

std::uint64_t disk_bytes_of(const pool::PoolStatus& status) {
  return status.written_data_bytes + status.written_parity_bytes + status.written_journal_bytes +
         status.written_checkpoint_bytes + status.written_label_bytes +
         status.written_rebuild_bytes;
}

// What the clients of one run share.
struct Clients {
  Rig& rig;
  Content* content;  // none: they read
  Load load;
  std::uint64_t next = 0, refused = 0;
  Samples latency_us;
  Result<> failed;
};

Async<> request(Clients& clients, std::uint64_t offset) {
  auto& engine = clients.rig.engine();
  if (clients.content == nullptr) {
    SQ_CO_TRY(co_await engine.read(clients.load.volume, offset, clients.load.request_bytes));
    co_return {};
  }
  auto piece = clients.content->draw(clients.load.request_bytes);
  co_return co_await engine.write(clients.load.volume, offset, std::move(piece.data),
                                  std::move(piece.ingest));
}

bool is_full(const Clients& clients, const Result<>& done) {
  return clients.load.wait_when_full && done.failed_with(Code::kNoSpace);
}

Task<void> client(Clients* clients) {
  auto& loop = clients->rig.loop();
  while (clients->next < clients->load.requests && clients->failed.ok()) {
    const auto offset = clients->load.offset(clients->next++);
    const auto began = loop.now();
    auto done = co_await request(*clients, offset);
    for (int attempt = 0; is_full(*clients, done) && attempt < kFullAttemptsMax; ++attempt) {
      ++clients->refused;
      co_await env::sleep_for(loop, kFullPause);
      done = co_await request(*clients, offset);
    }
    clients->latency_us.add(static_cast<double>((loop.now() - began).count()) / 1e3);
    if (!done.ok()) clients->failed = std::move(done);
  }
}

Async<> all_clients(Clients& clients, bool end_with_checkpoint) {
  env::Scope scope(clients.rig.loop());
  for (unsigned i = 0; i < clients.load.depth; ++i) scope.spawn(client(&clients));
  co_await scope.join();
  SQ_CO_TRY(clients.failed);
  if (end_with_checkpoint) co_return co_await clients.rig.engine().checkpoint();
  co_return {};
}

Result<Spent> run_clients(Clients clients, bool end_with_checkpoint) {
  Spent spent;
  spent.before = clients.rig.engine().stats();
  const auto began = usage_now();
  SQ_TRY(clients.rig.run(all_clients(clients, end_with_checkpoint)));
  spent.use = usage_now() - began;
  spent.after = clients.rig.engine().stats();
  spent.requests = clients.load.requests;
  spent.client_bytes = clients.load.requests * clients.load.request_bytes;
  spent.refused = clients.refused;
  spent.latency_us = std::move(clients.latency_us);
  return spent;
}

}  // namespace

std::uint64_t Spent::disk_bytes() const {
  return disk_bytes_of(after.pool) - disk_bytes_of(before.pool);
}

std::uint64_t Spent::index_bytes() const {
  return use.written_bytes - std::min(use.written_bytes, disk_bytes());
}

double Spent::disk_bytes_per_client_byte() const {
  return static_cast<double>(disk_bytes() + index_bytes()) / static_cast<double>(client_bytes);
}

Result<VolumeId> make_volume(Rig& rig, const std::string& name, std::uint64_t bytes,
                             std::uint32_t extent_bytes) {
  store::CreateVolume request;
  request.name = name;
  request.size_bytes = bytes;
  request.extent_bytes = extent_bytes;
  SQ_TRY(const auto info, rig.run(rig.engine().create_volume(std::move(request))));
  return info.id;
}

Result<Spent> run_writes(Rig& rig, Content& content, Load load, bool end_with_checkpoint) {
  return run_clients(Clients{rig, &content, std::move(load), 0, 0, {}, {}}, end_with_checkpoint);
}

Result<> fill_volume(Rig& rig, Content& content, VolumeId volume, std::uint64_t bytes,
                     bool end_with_checkpoint) {
  constexpr std::uint32_t kWriteBytes = 1u << 20;
  Load load{volume, kWriteBytes, bytes / kWriteBytes, 4, sequential(kWriteBytes), true};
  SQ_TRY(run_writes(rig, content, std::move(load), end_with_checkpoint));
  return {};
}

Result<Spent> run_reads(Rig& rig, Load load) {
  return run_clients(Clients{rig, nullptr, std::move(load), 0, 0, {}, {}}, false);
}

void tell(Report& report, const std::string& what, const Spent& spent) {
  const auto bytes = static_cast<double>(spent.client_bytes);
  const auto requests = static_cast<double>(spent.requests);
  report.number(what + " throughput", bytes / 1e6 / spent.use.wall_s, "MB/s");
  report.number(what + " requests", requests / spent.use.wall_s, "1/s");
  report.latency(what, spent.latency_us);
  report.number(what + " CPU per request", spent.cpu_per_request_s() * 1e6, "us");
  report.number(what + " CPU per GiB", spent.cpu_per_mib_s() * 1024, "s");
}

void tell_disk_bytes(Report& report, const std::string& what, const Spent& spent) {
  const auto& a = spent.before.pool;
  const auto& b = spent.after.pool;
  const auto tell_one = [&](const char* purpose, std::uint64_t bytes) {
    report.number(what + " disk bytes per client byte, " + purpose,
                  static_cast<double>(bytes) / static_cast<double>(spent.client_bytes), "");
  };
  tell_one("data", b.written_data_bytes - a.written_data_bytes);
  tell_one("parity", b.written_parity_bytes - a.written_parity_bytes);
  tell_one("journal", b.written_journal_bytes - a.written_journal_bytes);
  tell_one("checkpoints", b.written_checkpoint_bytes - a.written_checkpoint_bytes);
  tell_one("labels", b.written_label_bytes - a.written_label_bytes);
  tell_one("rebuild", b.written_rebuild_bytes - a.written_rebuild_bytes);
  tell_one("index's working copy", spent.index_bytes());
}

double median_of(std::vector<double> values) {
  Samples samples;
  for (const auto value : values) samples.add(value);
  return samples.median();
}

}  // namespace square::bench
